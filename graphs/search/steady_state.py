"""The steady-state schedule as a subgraph: launch → collect, run by the search once per recorded candidate."""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Annotated, Any

from typing_extensions import TypedDict

from fairnad.settings.search_settings import RunContext
from graphs.candidate import graph as candidate
from graphs.runtime.registry import services
from graphs.search.state import Drawn

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph, StateGraph
    from langgraph.runtime import Runtime


class SteadyState(TypedDict, total=False):
    """The fields of the search state that this graph reads and writes."""

    wave: list[Drawn]
    in_flight: list[str]
    recorded: Annotated[list[str], operator.add]


async def launch(state: SteadyState, runtime: Runtime[RunContext]) -> SteadyState:
    """Launch the newly drawn candidates."""
    new = [drawn["candidate_id"] for drawn in state.get("wave", [])]
    await _launch(new, runtime, is_new=True)
    return {"in_flight": [*state.get("in_flight", []), *new], "wave": []}


async def collect(state: SteadyState, runtime: Runtime[RunContext]) -> SteadyState:
    """Wait until a candidate is recorded; after a crash, first relaunch the candidates in flight."""
    run = await services(runtime.context)
    await _launch(state["in_flight"], runtime, is_new=False)
    recorded = await run.async_candidates.wait(runtime.stream_writer)
    return {"in_flight": [name for name in state["in_flight"] if name not in recorded], "recorded": recorded}


async def _launch(candidate_ids: list[str], runtime: Runtime[RunContext], *, is_new: bool) -> None:
    run = await services(runtime.context)
    thread_id = (runtime.execution_info and runtime.execution_info.thread_id) or ""
    for candidate_id in candidate_ids:
        config: Any = {"configurable": {"thread_id": thread_id}}
        run.async_candidates.launch(_candidate_graph(), run.context, config, candidate_id, is_new=is_new)


@functools.cache
def _candidate_graph() -> CompiledStateGraph[Any, Any, Any, Any]:
    return candidate.build().compile(name="candidate")


def build() -> StateGraph[SteadyState, RunContext, SteadyState, SteadyState]:
    """The graph of one turn: it launches new candidates and ends when a candidate is recorded."""
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(SteadyState, context_schema=RunContext)
    graph.add_node(launch)
    graph.add_node(collect)
    graph.add_edge(START, "launch")
    graph.add_edge("launch", "collect")
    graph.add_edge("collect", END)
    return graph
