"""The graph that builds the knowledge base: list → papers, wave after wave → collect → index (paper §4.2).

Each paper runs through its own graph: describe → judge → extract. A problem is recorded and ends the paper.
"""

from __future__ import annotations

import asyncio
import operator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typing_extensions import TypedDict

from fairnad.ideas.knowledge import Paper, PaperVerdict
from fairnad.records.candidate import plain
from fairnad.settings.knowledge_settings import KnowledgeContext
from graphs.knowledge.services import REGISTRY, num_papers_at_once

if TYPE_CHECKING:
    from langgraph.graph.state import StateGraph
    from langgraph.runtime import Runtime


class PaperInput(TypedDict):
    """One paper."""

    paper_id: str


class PaperState(PaperInput, total=False):
    """A paper in progress. ``title`` and ``verdict`` are for display; ``goes_on``: whether there is a next step."""

    title: str
    verdict: dict[str, Any]
    goes_on: bool
    done: Annotated[list[str], operator.add]


class PaperUpdate(TypedDict, total=False):
    """The update that a node of the paper graph returns."""

    title: str
    verdict: dict[str, Any]
    goes_on: bool
    done: list[str]


class PaperOutput(TypedDict):
    """The id of the finished paper; the rest is read from the stored steps."""

    done: Annotated[list[str], operator.add]


class BuildState(TypedDict, total=False):
    """A build; also the update that its nodes return. Results for papers are stored as steps of the folder.

    ``waiting`` lists the papers for later waves, ``wave`` the current papers, ``done`` the finished papers;
    ``cut_off``: whether the endpoint stopped answering. :mod:`graphs.knowledge.summary` creates ``summary``.
    """

    waiting: list[str]
    wave: list[str]
    done: Annotated[list[str], operator.add]
    cut_off: bool
    summary: dict[str, Any]


async def describe(state: PaperState, runtime: Runtime[KnowledgeContext]) -> PaperUpdate:
    """Fetch or read title and abstract if the list does not have them."""
    services = await REGISTRY.get(runtime.context)
    paper = await services.describe(state["paper_id"])
    return {"title": paper.title, "goes_on": True} if isinstance(paper, Paper) else {"goes_on": False}


async def judge(state: PaperState, runtime: Runtime[KnowledgeContext]) -> PaperUpdate:
    """Stage 1: keep or discard."""
    services = await REGISTRY.get(runtime.context)
    paper = await services.describe(state["paper_id"])
    assert isinstance(paper, Paper), "only described papers are judged"
    verdict = await services.judge(paper)
    return {"verdict": plain(verdict), "goes_on": isinstance(verdict, PaperVerdict) and verdict.keep}


async def extract(state: PaperState, runtime: Runtime[KnowledgeContext]) -> PaperUpdate:
    """Stage 2: extract the ideas of the method section."""
    services = await REGISTRY.get(runtime.context)
    paper = await services.describe(state["paper_id"])
    assert isinstance(paper, Paper), "only described papers are read"
    await services.extract(paper)
    return {}


async def finish(state: PaperState) -> PaperUpdate:
    """Finish the paper, with or without a problem."""
    return {"done": [state["paper_id"]]}


def route_described(state: PaperState) -> Literal["judge", "finish"]:
    """End papers without a description."""
    return "judge" if state["goes_on"] else "finish"


def route_judged(state: PaperState) -> Literal["extract", "finish"]:
    """End discarded papers."""
    return "extract" if state["goes_on"] else "finish"


async def gather(state: BuildState, runtime: Runtime[KnowledgeContext]) -> BuildState:
    """List the papers of all sources."""
    services = await REGISTRY.get(runtime.context)
    await asyncio.to_thread(services.folder.settle, "papers", services.reading_basis())
    return {"waiting": list(await services.list_papers()), "wave": [], "cut_off": False}


async def take(state: BuildState, runtime: Runtime[KnowledgeContext]) -> BuildState:
    """Take the next wave."""
    number = num_papers_at_once(runtime.context)
    return {"wave": state["waiting"][:number], "waiting": state["waiting"][number:]}


async def settle(state: BuildState, runtime: Runtime[KnowledgeContext]) -> BuildState:
    """Check whether the endpoint still answers."""
    services = await REGISTRY.get(runtime.context)
    return {"cut_off": services.is_cut_off, "wave": []}


async def collect(state: BuildState, runtime: Runtime[KnowledgeContext]) -> BuildState:
    """Merge and write the ideas of all papers, and summarize the build."""
    from graphs.knowledge.summary import collect_knowledge

    services = await REGISTRY.get(runtime.context)
    return {"summary": await asyncio.to_thread(collect_knowledge, services)}


async def index(state: BuildState, runtime: Runtime[KnowledgeContext]) -> BuildState:
    """Build the index for searches by meaning, and release the folder."""
    from graphs.knowledge.summary import build_index

    services = await REGISTRY.get(runtime.context)
    if state["summary"]["num_ideas"]:
        await asyncio.to_thread(build_index, services.folder.path, services.tree)
    await REGISTRY.release_when_unused(runtime.context)
    return {}


def send_wave(state: BuildState) -> list[Any]:
    """One ``Send`` to the paper graph for each paper of the wave."""
    from langgraph.types import Send

    return [Send("paper", PaperInput(paper_id=paper_id)) for paper_id in state["wave"]]


def route_settled(state: BuildState) -> Literal["take", "collect"]:
    """The next wave, until all are done or the endpoint does not answer."""
    return "take" if state["waiting"] and not state["cut_off"] else "collect"


def build_paper() -> StateGraph[PaperState, KnowledgeContext, PaperInput, PaperOutput]:
    """The graph of one paper."""
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(PaperState, context_schema=KnowledgeContext, input_schema=PaperInput, output_schema=PaperOutput)
    for node in (describe, judge, extract, finish):
        graph.add_node(node)
    graph.add_edge(START, "describe")
    graph.add_conditional_edges("describe", route_described)
    graph.add_conditional_edges("judge", route_judged)
    graph.add_edge("extract", "finish")
    graph.add_edge("finish", END)
    return graph


def build(
    settings: type[KnowledgeContext] = KnowledgeContext,
) -> StateGraph[BuildState, KnowledgeContext, BuildState, BuildState]:
    """The graph of a build."""
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(BuildState, context_schema=settings)
    for node in (gather, take, settle, collect, index):
        graph.add_node(node)
    graph.add_node("paper", build_paper().compile(name="paper"))
    graph.add_edge(START, "gather")
    graph.add_edge("gather", "take")
    graph.add_conditional_edges("take", send_wave, ["paper"])
    graph.add_edge("paper", "settle")
    graph.add_conditional_edges("settle", route_settled)
    graph.add_edge("collect", "index")
    graph.add_edge("index", END)
    return graph
