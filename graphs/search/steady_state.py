"""The nodes of the steady schedule: fill → review → collect → tally → fill … until enough have trained.

A stage is never waited for: candidates fly in tasks of their own, see :mod:`graphs.search.async_candidates`, and
these nodes go round whenever one of them is recorded. The state holds what is in flight, so that a search that was
killed launches it anew.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal

from fairnad.formatting import record_line
from fairnad.records.candidate import CandidateId
from fairnad.settings.search_settings import RunContext
from graphs.candidate import graph as candidate
from graphs.candidate.state import SearchState
from graphs.runtime.registry import services
from graphs.search.standing import standing
from graphs.search.steady_draws import draw_steadily

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.runtime import Runtime


async def fill(state: SearchState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Draw what is to join the candidates in flight."""
    from langgraph.types import Overwrite

    bench = await services(runtime.context)
    drawn = await draw_steadily(bench, state)
    update = {"wave": drawn.wave, "recorded": Overwrite(drawn.recorded), "num_drawn": drawn.num_drawn}
    if not drawn.wave:
        return update
    newest = CandidateId.parse(drawn.wave[-1]["candidate_id"])
    return update | {"generation": newest.generation, "stage": str(newest.stage), "round": newest.round}


@functools.cache
def _candidate_graph() -> CompiledStateGraph[Any, Any, Any, Any]:
    return candidate.build().compile(name="candidate")


async def collect(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Launch what was drawn, and wait for the first candidate that is recorded."""
    bench = await services(runtime.context)
    in_flight, joining = state.get("flights", []), state["wave"]
    thread_id = (runtime.execution_info and runtime.execution_info.thread_id) or ""
    graph = _candidate_graph()
    for flown in in_flight:
        bench.flights.launch(graph, bench.context, thread_id, flown, is_new=False)
    for flown in joining:
        bench.flights.launch(graph, bench.context, thread_id, flown, is_new=True)
    landed = await bench.flights.land(runtime.stream_writer)
    flying = [flown for flown in (*in_flight, *joining) if flown["candidate_id"] not in landed]
    return {"flights": flying, "wave": [], "recorded": landed}


async def tally(state: SearchState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Count what was recorded, once: what is in flight at the end is collected without another draw between."""
    from langgraph.types import Overwrite

    bench = await services(runtime.context)
    history = await bench.history()
    num_barren = bench.barren.add(history[name] for name in state["recorded"])
    lines = [record_line(history[name]) for name in state["recorded"]]
    counted = {"last_wave": lines, "num_barren": num_barren, "recorded": Overwrite([])}
    return {**standing(history, bench.context.archs), **counted}


def route_tallied(state: SearchState) -> Literal["fill", "collect", "promote"]:
    """Draw on while trainings are left and something trains; what is in flight at the end is waited for."""
    if state["num_left"] and state["num_barren"] < state["schedule"]["max_barren_draws"]:
        return "fill"
    return "collect" if state.get("flights") else "promote"
