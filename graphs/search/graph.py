"""The search: plan → initial | stage I | stage II | stage III → review → candidates → plan → … (paper Algorithm 2).

Not in Algorithm 2: promote → retrain at the end, and a stored result. In the steady-state schedule
:mod:`graphs.search.steady_state` takes the place of a wave of candidates. ``python -m graphs.search`` runs the graph.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Literal

from fairnad.errors import BaseModelError, RunFolderError
from fairnad.formatting import rate_text, record_line
from fairnad.records.candidate import Stage, plain
from fairnad.records.history import History
from fairnad.search.draws import Slot
from fairnad.settings.search_settings import RunContext
from graphs.candidate import graph as candidate
from graphs.candidate.review import review_ideas
from graphs.report.result_folder import store_result
from graphs.report.run_files import write_run_files
from graphs.runtime.draws import mean_staleness
from graphs.runtime.ending import begin_again, is_tested
from graphs.runtime.registry import let_go, services
from graphs.runtime.slot_use import slot_use, store_slot_use
from graphs.runtime.stored_finals import FINALS
from graphs.search import planning, steady_state
from graphs.search.finals import hold_finals
from graphs.search.promotion import climb
from graphs.search.state import LAYOUT, SearchInput, SearchState

if TYPE_CHECKING:
    from langgraph.graph.state import StateGraph
    from langgraph.runtime import Runtime

    from graphs.runtime.run_services import RunServices

Label = Literal["start", "stage I", "stage II", "stage III", "candidates in flight", "enough trained"]
AFTER_PLAN: dict[Hashable, str] = {
    "start": "initial",
    "stage I": "fair",
    "stage II": "pareto",
    "stage III": "refine",
    "candidates in flight": "steady",
    "enough trained": "promote",
}
"""The labels of the edges that leave ``plan``, with their targets."""
_LABELS: dict[str, Label] = {Stage.FAIR: "stage I", Stage.PARETO: "stage II", Stage.REFINE: "stage III"}
_MAX_LINES = 40


async def prepare(state: SearchState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Open the run; a finished search, or one in a new thread, continues from its history."""
    from langgraph.types import Overwrite

    run = await services(runtime.context)
    await asyncio.to_thread(begin_again, run.folder.history)
    history = await run.history()
    recorded = Overwrite([record.candidate_id for record in history.records])  # for forks of this thread
    start = {"layout": LAYOUT, "is_steady": planning.is_steady(run), "outcome": ""}
    return {**start, "slots": [], "wave": [], "in_flight": [], "recorded": recorded}


async def plan(state: SearchState, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Count the new records, and ask the strategy for the next slots; none if the search is finished or stalled."""
    from langgraph.types import Overwrite

    run = await services(runtime.context)
    history, recorded = await run.history(), state.get("recorded", [])
    _check_base(run, history, recorded)
    counts = _count(run, history, recorded)
    in_flight = state.get("in_flight", [])
    has_ended = not counts["num_left"] or counts["num_failed_in_row"] >= run.context.search.max_stalled_draws
    slots: list[Slot] = []
    if not has_ended and not await asyncio.to_thread(is_tested, run.folder.history):
        slots = await asyncio.to_thread(planning.next_slots, run, history, in_flight, counts["num_left"])
    update = {**counts, "slots": plain(slots), "wave": [], "in_flight": in_flight, "recorded": Overwrite([])}
    if not slots:
        return update
    newest = slots[-1].place
    return {**update, "generation": newest.generation, "stage": str(newest.stage), "round": newest.round}


async def draw(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Draw an idea and a mutation target for each slot."""
    run = await services(runtime.context)
    draws = await asyncio.to_thread(planning.draw_wave, run, [Slot(**fields) for fields in state["slots"]])
    return {"wave": [{"candidate_id": draw.candidate_id, "idea": draw.idea.text} for draw in draws]}


async def review(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Let a reviewer approve, edit or reject the ideas of the wave."""
    run = await services(runtime.context)
    texts = {drawn["candidate_id"]: drawn["idea"] for drawn in state["wave"]}
    draws = await review_ideas(run, [await run.draws.read(name) for name in texts], texts)
    return {"wave": [{"candidate_id": draw.candidate_id, "idea": draw.idea.text} for draw in draws]}


async def promote(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Retrain the best candidates by the recipes of the promotion, if any; choose the finalists."""
    run = await services(runtime.context)
    await store_slot_use(run)
    rungs = await climb(run)
    return {
        "rungs": [
            {"recipe": rung.recipe.name, "digest": rung.recipe.digest, "num_trained": len(rung.evaluations)}
            for rung in rungs
        ],
        "finalist_ids": list(rungs[-1].ranking[: run.context.search.finalists]),
        "slot_idle_share": (await asyncio.to_thread(slot_use, run.folder.history)).idle_share,
        "staleness": await asyncio.to_thread(mean_staleness, run.folder.history) if planning.is_steady(run) else None,
    }


async def retrain(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Hold the finals: retrain base and finalists with fresh seeds."""
    run = await services(runtime.context)
    finals = await hold_finals(run, state["finalist_ids"], len(state["rungs"]) - 1)
    return {"finals": plain(finals)}


async def finish(state: SearchState, runtime: Runtime[RunContext]) -> SearchState:
    """Store the result, and write the report and the result folder."""
    run = await services(runtime.context)
    outcome = "finished" if not state["num_left"] else "stalled"
    finals = FINALS.validate_python(state["finals"])
    result = await store_result(run, finals, await climb(run)) if finals is not None else None
    await asyncio.to_thread(run.folder.history.set_status, outcome)
    await write_run_files(run, finals)
    await let_go(runtime.context)
    return {"outcome": outcome, "result": plain(result)}


def _check_base(run: RunServices, history: History, recorded: list[str]) -> None:
    if any(history.get(name) is None for name in recorded):
        raise RunFolderError(f"{run.folder.path} lacks records of this thread: set the --run of the thread")
    if history.base is not None and history.base.failure is not None:
        failure = history.base.failure
        raise BaseModelError(f"the base model cannot be used: {failure.step}: {failure.message}")


def _count(run: RunServices, history: History, recorded: list[str]) -> dict[str, Any]:
    """The update with the best candidate, the pass rate and the number of trainings left."""
    best = history.best
    return {
        "num_trained": len(history.trained),
        "num_left": max(run.context.archs - len(history.trained), 0),
        "num_failed_in_row": run.stalled.add(history[name] for name in recorded),
        "last_wave": [record_line(history[name]) for name in recorded[-_MAX_LINES:]],
        "pass_rate": rate_text(history.pass_rate()),
        "best_id": best.candidate_id if best else "",
        "best_accuracy": best.evaluation.accuracy if best and best.evaluation else None,
    }


def route_planned(state: SearchState) -> Label:
    """Go to the stage of the next slots; without slots, wait for candidates in flight, then end."""
    if state["slots"]:
        return _LABELS.get(state["stage"], "start")
    return "candidates in flight" if state["in_flight"] else "enough trained"


def send_wave(state: SearchState) -> Literal["steady"] | list[Any]:
    """Send each candidate of the wave to a candidate graph; the steady-state schedule takes all but the base."""
    from langgraph.types import Send

    if state["is_steady"] and state["stage"] != Stage.BASE:
        return "steady"
    return [Send("candidate", {"candidate_id": drawn["candidate_id"]}) for drawn in state["wave"]]


def build(settings: type[RunContext] = RunContext) -> StateGraph[SearchState, RunContext, SearchInput, SearchState]:
    """The graph of the search; the candidates of a wave run in parallel in the candidate graph."""
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(SearchState, context_schema=settings, input_schema=SearchInput)
    for node in (prepare, plan, review, promote, retrain, finish):
        graph.add_node(node)
    for stage in (Stage.INITIAL, Stage.FAIR, Stage.PARETO, Stage.REFINE):
        graph.add_node(str(stage), draw)
        graph.add_edge(str(stage), "review")
    graph.add_node("candidate", candidate.build().compile(name="candidate"))
    graph.add_node("steady", steady_state.build().compile(name="steady"))
    graph.add_edge(START, "prepare")
    graph.add_edge("prepare", "plan")
    graph.add_conditional_edges("plan", route_planned, AFTER_PLAN)
    graph.add_conditional_edges("review", send_wave, {"each of the wave": "candidate", "steady": "steady"})
    graph.add_edge("candidate", "plan")
    graph.add_edge("steady", "plan")
    graph.add_edge("promote", "retrain")
    graph.add_edge("retrain", "finish")
    graph.add_edge("finish", END)
    return graph
