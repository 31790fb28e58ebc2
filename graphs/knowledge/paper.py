"""One paper on its way: describe → filter → extract (paper §4.2). What goes wrong is noted and ends it."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typing_extensions import TypedDict

from fairnad.ideas.knowledge import Paper, PaperVerdict
from fairnad.records.candidate import plain
from fairnad.settings.knowledge_settings import KnowledgeContext
from graphs.knowledge.registry import bench_of

if TYPE_CHECKING:
    from langgraph.graph.state import StateGraph
    from langgraph.runtime import Runtime


class PaperInput(TypedDict):
    """What the build hands to one paper."""

    paper_id: str


class PaperState(PaperInput, total=False):
    """A paper on its way.

    ``title`` and ``verdict`` are for people; ``goes_on`` says whether there is a next step; ``done`` holds the id.
    """

    title: str
    verdict: dict[str, Any]
    goes_on: bool
    done: Annotated[list[str], operator.add]


class PaperUpdate(TypedDict, total=False):
    """What a node may write."""

    title: str
    verdict: dict[str, Any]
    goes_on: bool
    done: list[str]


class PaperOutput(TypedDict):
    """What a paper tells the build; all else is read from the steps."""

    done: Annotated[list[str], operator.add]


async def describe(state: PaperState, runtime: Runtime[KnowledgeContext]) -> PaperUpdate:
    """Title and abstract, fetched or read where the list did not tell them."""
    bench = await bench_of(runtime.context)
    paper = await bench.describe(state["paper_id"])
    if not isinstance(paper, Paper):
        return {"goes_on": False}
    return {"title": paper.title, "goes_on": True}


async def judge(state: PaperState, runtime: Runtime[KnowledgeContext]) -> PaperUpdate:
    """Stage 1: keep or discard."""
    bench = await bench_of(runtime.context)
    paper = await bench.describe(state["paper_id"])
    assert isinstance(paper, Paper), "only described papers are judged"
    verdict = await bench.judge(paper)
    keeps = isinstance(verdict, PaperVerdict) and verdict.keep
    return {"verdict": plain(verdict), "goes_on": keeps}


async def extract(state: PaperState, runtime: Runtime[KnowledgeContext]) -> PaperUpdate:
    """Stage 2: the ideas of the method section."""
    bench = await bench_of(runtime.context)
    paper = await bench.describe(state["paper_id"])
    assert isinstance(paper, Paper), "only described papers are read"
    await bench.extract(paper)
    return {"goes_on": False}


async def note(state: PaperState) -> PaperUpdate:
    """The paper is done, one way or another."""
    return {"done": [state["paper_id"]]}


def route_described(state: PaperState) -> Literal["judge", "note"]:
    """Papers that cannot be described end here."""
    return "judge" if state["goes_on"] else "note"


def route_judged(state: PaperState) -> Literal["extract", "note"]:
    """Papers that are discarded end here."""
    return "extract" if state["goes_on"] else "note"


def build() -> StateGraph[PaperState, KnowledgeContext, PaperInput, PaperOutput]:
    """The graph of one paper."""
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(PaperState, context_schema=KnowledgeContext, input_schema=PaperInput, output_schema=PaperOutput)
    for node in (describe, judge, extract, note):
        graph.add_node(node)
    graph.add_edge(START, "describe")
    graph.add_conditional_edges("describe", route_described)
    graph.add_conditional_edges("judge", route_judged)
    graph.add_edge("extract", "note")
    graph.add_edge("note", END)
    return graph
