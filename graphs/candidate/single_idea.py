"""The candidate graph by itself, as a server has it: a single idea becomes a candidate of its run."""

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
from fairnad.records.draw_decisions import NO_CHOICES
from fairnad.search import sampling
from fairnad.settings.search_settings import RunContext
from graphs.candidate.graph import add_steps
from graphs.candidate.state import CandidateInput, CandidateOutput, CandidateState, Draw, Slot
from graphs.runtime.registry import services
from graphs.runtime.tagging import reworded, run_tagger
from graphs.search.planning import candidate_input

if TYPE_CHECKING:
    from graphs.runtime.run_services import Bench


class SingleIdea(TypedDict, total=False):
    """What the graph is started with: an idea in words, and whom it is carried out on.

    ``parent`` is the id of a candidate of the run; without it the base model is taken. It is not kept in the thread.
    """

    idea: str
    parent: Annotated[str, EphemeralValue]


async def draw(state: SingleIdea, runtime: Runtime[RunContext]) -> CandidateInput:
    """Make the idea a candidate of stage initial, in a slot behind those of the search and of earlier single ideas.

    Raises:
        SettingsError: there is no idea, it is too long, or the run has no such parent.
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


def _draw(bench: Bench, given: SingleIdea) -> CandidateInput:
    parent, history = given.get("parent", ""), bench.folder.history
    if parent and history.find_record(parent) is None:
        raise SettingsError(f"parent: {bench.folder.path} has no candidate {parent!r}; leave it out for the base model")
    place = CandidateId(0, Stage.INITIAL, 1, _free_slot(bench), 0)
    idea = _idea(bench, given.get("idea"))
    target = MutationTarget.ANY
    if bench.context.search.mutation_target:
        target = sampling.draw(mutation_targets(idea), sampling.generator(bench.context.seed, place, "target"))
    slot = Slot(
        slot=place.slot,
        parent_id=parent,
        kind=str(idea.kind),
        current_id="",
        previous_id="",
        num_draws=0,
        trained_id="",
    )
    review = bench.context.review == "candidates"
    return candidate_input(place, slot, Draw(idea, target, NO_CHOICES), bench.context.search, review=review)


def _idea(bench: Bench, given: object) -> Idea:
    text = given if isinstance(given, str) else ""  # what an earlier idea of this thread was made into is no text
    try:
        return reworded(Idea("", IdeaKind.MUTATED), " ".join(text.split()), run_tagger(bench.context, bench.pack))
    except ValueError as error:
        raise SettingsError(f"idea: {error}") from error


def _free_slot(bench: Bench) -> int:
    places = [CandidateId.parse(name) for name in bench.folder.history.candidate_ids()]
    taken = [place.slot for place in places if (place.generation, place.stage) == (0, Stage.INITIAL)]
    return max([bench.context.search.initial - 1, *taken]) + 1
