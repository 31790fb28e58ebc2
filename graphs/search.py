"""The search: prepare → initial → fair → pareto → refine → next generation → … → finish (paper Algorithm 2).

What Algorithm 2 does not have comes at the end: promote → retrain, and a result folder.

``python -m graphs.search`` runs it; ``graphs.search:graph`` is the graph for a LangGraph server.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal

from fairnad.candidate import Stage, plain
from fairnad.errors import BaseModelError
from fairnad.settings import RunContext
from graphs import candidate, planning
from graphs.context import services
from graphs.finals import FINALS, hold_finals
from graphs.promotion import climb
from graphs.result import write_result
from graphs.state import Schedule, SearchState, Slot

if TYPE_CHECKING:
    from langgraph.graph.state import StateGraph
    from langgraph.runtime import Runtime

Route = Literal["draw", "initial", "fair", "pareto", "refine", "next_generation", "promote"]


async def prepare(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Open the bench; the base model is the first candidate."""
    bench = await services(runtime.context)
    search = bench.context.search
    schedule = Schedule(
        refine_rounds=search.refine_rounds, max_draws=search.max_draws, max_barren_draws=search.max_barren_draws
    )
    slots = planning.base_slots()
    return {"schedule": schedule, "generation": 0, "outcome": "", "num_left": 1} | _stage(Stage.BASE, slots)


async def initial(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Mutations of the base."""
    bench = await services(runtime.context)
    return _stage(Stage.INITIAL, planning.initial_slots(await bench.history(), bench.context.search))


async def next_generation(state: SearchState) -> SearchState:
    """The stages begin again."""
    return {"generation": state["generation"] + 1}


async def fair(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Stage I, mutation with fair idea sampling."""
    bench = await services(runtime.context)
    return _stage(Stage.FAIR, planning.fair_slots(await bench.history(), bench.context.search))


async def pareto(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Stage II, Pareto-aware mutation."""
    bench = await services(runtime.context)
    return _stage(Stage.PARETO, planning.pareto_slots(await bench.history(), bench.context.search, bench.budgets))


async def refine(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Stage III, iterative mutation of the best, one round."""
    bench = await services(runtime.context)
    goes_on = state["stage"] == Stage.REFINE
    last_round = state["slots"] if goes_on else []
    slots = planning.refine_slots(await bench.history(), bench.context.search, last_round)
    return _stage(Stage.REFINE, slots, round_number=state["round"] + 1 if goes_on else 1)


async def draw(state: SearchState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """An idea for each open slot."""
    from langgraph.types import Overwrite

    bench = await services(runtime.context)
    wave = planning.draw_wave(state, bench.context.search, bench.context.seed, bench.ideas)
    return {"wave": wave, "recorded": Overwrite([])}


async def settle(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Count what the wave brought."""
    bench = await services(runtime.context)
    history = await bench.history()
    if history.base is None or not history.base.trained:
        failure = history.base.failure if history.base else None
        reason = f"{failure.step}: {failure.message}" if failure else "it was not recorded"
        raise BaseModelError(f"the base model cannot be used: {reason}")
    best = history.best
    return {
        "slots": planning.settle_slots(state["slots"], state["wave"], history),
        "wave": [],
        "num_trained": len(history.trained),
        "num_left": max(bench.context.archs - len(history.trained), 0),
        "num_barren": history.num_barren,
        "best_id": best.candidate_id if best else "",
        "best_accuracy": best.evaluation.accuracy if best and best.evaluation else None,
    }


async def promote(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Train the best again by better recipes, where the search was a screening; name the finalists."""
    bench = await services(runtime.context)
    rungs = await climb(bench)
    told = [
        {"recipe": rung.recipe.name, "digest": rung.recipe.digest, "num_trained": len(rung.evaluations)}
        for rung in rungs
    ]
    return {"rungs": told, "finalist_ids": list(rungs[-1].ranking[: bench.context.search.finalists])}


async def retrain(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """The finals: base and finalists with fresh seeds."""
    bench = await services(runtime.context)
    finals = await hold_finals(bench, state["finalist_ids"], len(state["rungs"]) - 1)
    return {"finals": plain(finals)}


async def finish(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Write the result folder and what people read."""
    bench = await services(runtime.context)
    outcome = "finished" if not state["num_left"] else "barren"
    finals = FINALS.validate_python(state["finals"])
    result = await write_result(bench, finals, await climb(bench)) if finals is not None else None
    await bench.finish(outcome, finals)
    return {"outcome": outcome, "result": plain(result)}


def send_wave(state: SearchState) -> list[Any]:
    """One ``Send`` to the candidate graph for each candidate of the wave; an empty wave is settled at once."""
    from langgraph.types import Send

    return [Send("candidate", drawn) for drawn in state["wave"]] or ["settle"]


def route_settled(state: SearchState) -> Route:
    """Enough trained, or nothing trains any more: promote. Open slots are drawn again; then the next stage begins."""
    if not state["num_left"] or state["num_barren"] >= state["schedule"]["max_barren_draws"]:
        return "promote"
    return "draw" if planning.open_slots(state) else _after_stage(state)


def _after_stage(state: SearchState) -> Route:
    if state["stage"] == Stage.REFINE and state["round"] < state["schedule"]["refine_rounds"]:
        return "refine"
    following: dict[str, Route] = {"base": "initial", "fair": "pareto", "pareto": "refine"}
    return following.get(state["stage"], "next_generation")


def _stage(stage: Stage, slots: list[Slot], *, round_number: int = 1) -> SearchState:
    return {"stage": str(stage), "round": round_number, "slots": slots}


def build() -> StateGraph[SearchState, RunContext, SearchState, SearchState]:
    """The graph of the search; each candidate runs in the candidate graph, all of a wave at once."""
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(SearchState, context_schema=RunContext)
    for node in (prepare, initial, next_generation, fair, pareto, refine, draw, settle, promote, retrain, finish):
        graph.add_node(node)
    graph.add_node("candidate", candidate.build().compile(name="candidate"))
    graph.add_edge(START, "prepare")
    graph.add_edge("next_generation", "fair")
    for planned in ("prepare", "initial", "fair", "pareto", "refine"):
        graph.add_edge(planned, "draw")
    graph.add_conditional_edges("draw", send_wave, ["candidate", "settle"])
    graph.add_edge("candidate", "settle")
    graph.add_conditional_edges("settle", route_settled)
    graph.add_edge("promote", "retrain")
    graph.add_edge("retrain", "finish")
    graph.add_edge("finish", END)
    return graph


def __getattr__(name: str) -> Any:
    if name == "graph":
        return build().compile(name="search")
    raise AttributeError(name)


if __name__ == "__main__":
    from graphs.command_line import main

    sys.exit(main())
