"""Building the knowledge base: gather → papers, a wave at a time → collect → index (paper §4.2).

``python -m graphs.knowledge`` runs it and its siblings; see :mod:`graphs.cli.knowledge_command`.
"""

from __future__ import annotations

import asyncio
import operator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typing_extensions import TypedDict

from fairnad.settings.knowledge_settings import KnowledgeContext
from graphs.knowledge import paper
from graphs.knowledge.registry import bench_of, release

if TYPE_CHECKING:
    from langgraph.graph.state import StateGraph
    from langgraph.runtime import Runtime


class BuildState(TypedDict, total=False):
    """A build; what was read is in the steps of the folder.

    ``waiting`` are the papers no wave has taken yet, ``wave`` those under way, ``done`` those of all waves;
    ``cut_off`` says that the endpoint is gone. ``summary`` is what :mod:`graphs.knowledge.summary` makes of it.
    """

    waiting: list[str]
    wave: list[str]
    done: Annotated[list[str], operator.add]
    cut_off: bool
    summary: dict[str, Any]


class BuildUpdate(TypedDict, total=False):
    """What a node may write."""

    waiting: list[str]
    wave: list[str]
    cut_off: bool
    summary: dict[str, Any]


async def gather(state: BuildState, runtime: Runtime[KnowledgeContext]) -> BuildUpdate:
    """List the papers of all sources."""
    from graphs.knowledge.services import reading_basis

    bench = await bench_of(runtime.context)
    await asyncio.to_thread(bench.folder.settle, "papers", reading_basis(bench))
    return {"waiting": await bench.list_papers(), "wave": [], "cut_off": False}


async def take(state: BuildState, runtime: Runtime[KnowledgeContext]) -> BuildUpdate:
    """The next wave."""
    number = runtime.context.papers_at_once
    return {"wave": state["waiting"][:number], "waiting": state["waiting"][number:]}


async def settle(state: BuildState, runtime: Runtime[KnowledgeContext]) -> BuildUpdate:
    """See whether the endpoint still answers."""
    bench = await bench_of(runtime.context)
    return {"cut_off": bench.is_cut_off, "wave": []}


async def collect(state: BuildState, runtime: Runtime[KnowledgeContext]) -> BuildUpdate:
    """Merge the ideas of all papers, write them, and tell what was found and what went wrong."""
    from graphs.knowledge.collecting import collect_knowledge

    bench = await bench_of(runtime.context)
    return {"summary": await collect_knowledge(bench)}


async def index(state: BuildState, runtime: Runtime[KnowledgeContext]) -> BuildUpdate:
    """Build the index that searches by meaning ask, and give the folder back."""
    from graphs.knowledge.collecting import build_index

    bench = await bench_of(runtime.context)
    if state["summary"]["num_ideas"]:
        await build_index(bench.folder.path, bench.tree)
    await release(runtime.context)
    return {}


def send_wave(state: BuildState) -> list[Any]:
    """One ``Send`` to the paper graph for each paper of the wave."""
    from langgraph.types import Send

    return [Send("paper", paper.PaperInput(paper_id=paper_id)) for paper_id in state["wave"]]


def route_settled(state: BuildState) -> Literal["take", "collect"]:
    """On with the next wave, until all are done or the endpoint is gone."""
    return "take" if state["waiting"] and not state["cut_off"] else "collect"


def build() -> StateGraph[BuildState, KnowledgeContext, BuildState, BuildState]:
    """The graph of a build."""
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(BuildState, context_schema=KnowledgeContext)
    for node in (gather, take, settle, collect, index):
        graph.add_node(node)
    graph.add_node("paper", paper.build().compile(name="paper"))
    graph.add_edge(START, "gather")
    graph.add_edge("gather", "take")
    graph.add_conditional_edges("take", send_wave, ["paper"])
    graph.add_edge("paper", "settle")
    graph.add_conditional_edges("settle", route_settled)
    graph.add_edge("collect", "index")
    graph.add_edge("index", END)
    return graph
