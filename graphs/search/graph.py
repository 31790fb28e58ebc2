"""The search: prepare → initial → fair → pareto → refine → next generation → … → finish (paper Algorithm 2).

What Algorithm 2 does not have comes at the end: promote → retrain, and a stored result. In the steady schedule the
stages give way to :mod:`graphs.search.steady_state`.

``python -m graphs.search`` runs it; :mod:`graphs.served` holds it for a LangGraph server.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from fairnad.errors import BaseModelError, RunFolderError
from fairnad.formatting import record_line
from fairnad.records.candidate import Stage, plain
from fairnad.settings.search_settings import RunContext
from graphs.candidate import graph as candidate
from graphs.candidate.review import review_ideas
from graphs.candidate.state import Schedule, SearchInput, SearchState, Slot
from graphs.report.result_folder import store_result
from graphs.report.run_files import write_run_files
from graphs.runtime.ending import begin_again
from graphs.runtime.registry import let_go, services
from graphs.runtime.slot_use import note_slot_use, slot_use
from graphs.search import planning
from graphs.search import steady_state as steady
from graphs.search.drawing import draw_once
from graphs.search.finals import FINALS, hold_finals
from graphs.search.promotion import climb
from graphs.search.standing import standing
from graphs.search.steady_draws import mean_staleness

if TYPE_CHECKING:
    from langgraph.graph.state import StateGraph
    from langgraph.runtime import Runtime

Route = Literal["draw", "initial", "fair", "pareto", "refine", "next_generation", "fill", "collect", "promote"]


async def prepare(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Open the bench; the base model is the first candidate. A search that has ended goes on where it ended.

    One that ended because nothing trained draws on: what kept it from training may have been mended.
    """
    bench = await services(runtime.context)
    search = bench.context.search
    schedule = Schedule(
        is_steady=search.schedule == "steady",
        refine_rounds=search.refine_rounds,
        max_draws=search.max_draws,
        max_barren_draws=search.max_barren_draws,
    )
    if goes_on(state):
        num_left = max(bench.context.archs - state["num_trained"], 0)
        draws_on = await asyncio.to_thread(begin_again, bench.folder.history)
        num_barren = 0 if draws_on else search.max_barren_draws
        return {"schedule": schedule, "outcome": "", "num_left": num_left, "num_barren": num_barren}
    slots = planning.base_slots()
    return {"schedule": schedule, "generation": 0, "outcome": "", "num_left": 1} | _stage(Stage.BASE, slots)


async def initial(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Mutations of the base."""
    bench = await services(runtime.context)
    return _stage(Stage.INITIAL, planning.initial_slots(await bench.before(0, Stage.INITIAL), bench.context.search))


async def next_generation(state: SearchState) -> SearchState:
    """The stages begin again."""
    return {"generation": state["generation"] + 1}


async def fair(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Stage I, mutation with fair idea sampling."""
    bench = await services(runtime.context)
    history = await bench.before(state["generation"], Stage.FAIR)
    return _stage(Stage.FAIR, planning.fair_slots(history, bench.context.search))


async def pareto(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Stage II, Pareto-aware mutation."""
    bench = await services(runtime.context)
    history = await bench.before(state["generation"], Stage.PARETO)
    return _stage(Stage.PARETO, planning.pareto_slots(history, bench.context.search, bench.budgets))


async def refine(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Stage III, iterative mutation of the best, one round."""
    bench = await services(runtime.context)
    is_further = state["stage"] == Stage.REFINE
    number = state["round"] + 1 if is_further else 1
    history = await bench.before(state["generation"], Stage.REFINE, number)
    slots = planning.refine_slots(history, bench.context.search, state["slots"] if is_further else [])
    return _stage(Stage.REFINE, slots, round_number=number)


async def draw(state: SearchState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """An idea for each open slot."""
    from langgraph.types import Overwrite

    bench = await services(runtime.context)
    return {"wave": await draw_once(bench, state), "recorded": Overwrite([])}


async def review(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Let a person approve, change or refuse the ideas of the wave."""
    bench = await services(runtime.context)
    return {"wave": await review_ideas(bench, state["wave"])}


async def settle(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Count what the wave brought."""
    bench = await services(runtime.context)
    history = await bench.up_to(state)
    if history.base is None:
        raise RunFolderError(f"{bench.folder.path} does not hold what this thread has found: name its own --run")
    if history.base.failure is not None:
        failure = history.base.failure
        raise BaseModelError(f"the base model cannot be used: {failure.step}: {failure.message}")
    return standing(history, bench.context.archs) | {
        "slots": planning.settle_slots(state["slots"], state["wave"], history),
        "wave": [],
        "last_wave": [record_line(history[drawn["candidate_id"]]) for drawn in state["wave"]],
        "num_barren": bench.barren.add(history[drawn["candidate_id"]] for drawn in state["wave"]),
    }


async def promote(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Train the best again by better recipes, where the search was a screening; name the finalists."""
    bench = await services(runtime.context)
    await note_slot_use(bench)
    rungs = await climb(bench)
    told = [
        {"recipe": rung.recipe.name, "digest": rung.recipe.digest, "num_trained": len(rung.evaluations)}
        for rung in rungs
    ]
    return {
        "rungs": told,
        "finalist_ids": list(rungs[-1].ranking[: bench.context.search.finalists]),
        "slot_idle_share": (await asyncio.to_thread(slot_use, bench.folder.history)).idle_share,
        "staleness": await asyncio.to_thread(mean_staleness, bench.folder.history),
    }


async def retrain(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """The finals: base and finalists with fresh seeds."""
    bench = await services(runtime.context)
    finals = await hold_finals(bench, state["finalist_ids"], len(state["rungs"]) - 1)
    return {"finals": plain(finals)}


async def finish(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Store the result and write what people read."""
    bench = await services(runtime.context)
    outcome = "finished" if not state["num_left"] else "barren"
    finals = FINALS.validate_python(state["finals"])
    result = await store_result(bench, finals, await climb(bench)) if finals is not None else None
    await asyncio.to_thread(bench.folder.history.set_status, outcome)
    await write_run_files(bench, finals)
    await let_go(runtime.context)
    return {"outcome": outcome, "result": plain(result)}


def goes_on(state: SearchState) -> bool:
    """Whether there is a search to go on with; what comes before the base is settled is begun again."""
    return "num_trained" in state


def route_prepared(state: SearchState) -> Route:
    """A search that goes on does so as if a wave had just been settled."""
    if not goes_on(state):
        return "draw"
    return steady.route_tallied(state) if is_steady(state) else route_settled(state)


def is_steady(state: SearchState) -> bool:
    """Whether the candidates fly by themselves; the base never does."""
    return state.get("schedule", {}).get("is_steady", False) and "num_drawn" in state


def send_wave(state: SearchState) -> list[Any]:
    """One ``Send`` to the candidate graph for each candidate of the wave; an empty wave is settled at once."""
    from langgraph.types import Send

    if is_steady(state):
        return ["collect"]
    return [Send("candidate", drawn) for drawn in state["wave"]] or ["settle"]


def route_settled(state: SearchState) -> Route:
    """Enough trained, or nothing trains any more: promote. Open slots are drawn again; then the next stage begins.

    In the steady schedule the base alone is a wave.
    """
    if state.get("schedule", {}).get("is_steady", False):
        return "fill"
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


def build(settings: type[RunContext] = RunContext) -> StateGraph[SearchState, RunContext, SearchInput, SearchState]:
    """The graph of the search; each candidate runs in the candidate graph, all of a wave at once."""
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(SearchState, context_schema=settings, input_schema=SearchInput)
    nodes = (prepare, initial, next_generation, fair, pareto, refine, draw, review, settle, promote, retrain, finish)
    for node in (*nodes, steady.fill, steady.collect, steady.tally):
        graph.add_node(node)
    graph.add_node("candidate", candidate.build().compile(name="candidate"))
    graph.add_edge(START, "prepare")
    graph.add_conditional_edges("prepare", route_prepared)
    graph.add_edge("next_generation", "fair")
    for planned in ("initial", "fair", "pareto", "refine"):
        graph.add_edge(planned, "draw")
    graph.add_edge("draw", "review")
    graph.add_conditional_edges("review", send_wave, ["candidate", "settle", "collect"])
    graph.add_edge("candidate", "settle")
    graph.add_conditional_edges("settle", route_settled)
    graph.add_edge("fill", "review")
    graph.add_edge("collect", "tally")
    graph.add_conditional_edges("tally", steady.route_tallied)
    graph.add_edge("promote", "retrain")
    graph.add_edge("retrain", "finish")
    graph.add_edge("finish", END)
    return graph
