"""The candidate graph for a single idea, on a server: the idea becomes a candidate of its run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from langgraph.channels import EphemeralValue
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from fairnad.errors import SettingsError
from fairnad.ideas.idea import Idea, IdeaKind, MutationTarget, mutation_targets
from fairnad.records.candidate import CandidateId, Stage
from fairnad.search import sampling
from fairnad.search.draws import Draw, Slot
from fairnad.settings.search_settings import RunContext
from graphs.candidate.graph import add_steps
from graphs.candidate.state import CandidateInput, CandidateOutput, CandidateState
from graphs.runtime.registry import services
from graphs.runtime.tagging import reword, run_tagger

if TYPE_CHECKING:
    from graphs.runtime.run_services import RunServices


class SingleIdea(TypedDict, total=False):
    """The input: an idea as text, and its parent.

    ``parent`` is the id of a candidate of the run, by default the base model. The thread stores neither.
    """

    idea: Annotated[str, EphemeralValue]
    parent: Annotated[str, EphemeralValue]


async def draw(state: SingleIdea, runtime: Runtime[RunContext]) -> CandidateInput:
    """Draw the idea as a candidate of stage initial, in a slot after all slots of the search and earlier ideas.

    Raises:
        SettingsError: the idea is empty or too long, or the parent is unknown.
        UserError: the pack's lexicon or ideas cannot be read.
    """
    return await asyncio.to_thread(_draw, await services(runtime.context), state)


def build(
    settings: type[RunContext] = RunContext,
) -> StateGraph[CandidateState, RunContext, SingleIdea, CandidateOutput]:
    """The graph of a single idea: draw → mutate → … → record."""
    graph = StateGraph(CandidateState, context_schema=settings, input_schema=SingleIdea, output_schema=CandidateOutput)
    graph.add_node(draw, input_schema=SingleIdea)
    add_steps(graph)
    graph.add_edge(START, "draw")
    graph.add_edge("draw", "mutate")
    return graph


def _draw(run: RunServices, given: SingleIdea) -> CandidateInput:
    parent, history = given.get("parent", ""), run.folder.history
    if parent and history.find_record(parent) is None:
        raise SettingsError(f"parent: {run.folder.path} has no candidate {parent!r}; leave it out for the base model")
    idea = _read_idea(run, given.get("idea"))
    place = CandidateId(0, Stage.INITIAL, 1, _free_slot(run), 0)
    target = MutationTarget.ANY
    if "target" not in run.context.search.ablate:
        target = sampling.draw(mutation_targets(idea), sampling.generator(run.context.seed, place, "target"))
    run.draws.add(Draw(Slot(str(place), parent, str(idea.kind)), idea, target))
    return {"candidate_id": str(place)}


def _read_idea(run: RunServices, given: object) -> Idea:
    text = given if isinstance(given, str) else ""
    try:
        return reword(Idea("", IdeaKind.MUTATED), " ".join(text.split()), run_tagger(run.context, run.pack))
    except ValueError as error:
        raise SettingsError(f"idea: {error}") from error


def _free_slot(run: RunServices) -> int:
    places = [CandidateId.parse(name) for name in run.folder.history.candidate_ids()]
    taken = [place.slot for place in places if (place.generation, place.stage) == (0, Stage.INITIAL)]
    return max([run.context.search.initial - 1, *taken]) + 1
