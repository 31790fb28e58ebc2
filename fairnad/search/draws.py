"""A strategy opens slots; a draw fills a slot with an idea and a mutation target."""

from __future__ import annotations

from dataclasses import dataclass

from fairnad.ideas.idea import Idea, IdeaKind, MutationTarget, mutation_targets
from fairnad.ports import IdeaSampler
from fairnad.records.candidate import CandidateId
from fairnad.records.draw_decisions import NO_DECISIONS, DrawDecisions
from fairnad.search import sampling


@dataclass(frozen=True, slots=True)
class Slot:
    """A candidate to draw: its id (stage, slot, number of the draw), its parent and the kind of its idea.

    ``current_id`` and ``previous_id`` are a_{t−1} and a_{t−2} of stage III, empty in other stages.
    """

    candidate_id: str
    parent_id: str
    kind: str
    current_id: str = ""
    previous_id: str = ""

    @property
    def place(self) -> CandidateId:
        """The candidate id, parsed."""
        return CandidateId.parse(self.candidate_id)


@dataclass(frozen=True, slots=True)
class Draw:
    """A slot with all decisions made for it.

    ``number`` counts the draws of a run from 0, without the base. ``settled`` are the candidates recorded since the
    previous draw, ``earlier`` those that are judged before this one. ``refused`` and ``idea_edited`` are the reviewer's
    decisions about the idea.
    """

    slot: Slot
    idea: Idea
    target: MutationTarget
    choices: DrawDecisions = NO_DECISIONS
    number: int = -1
    settled: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    refused: bool = False
    idea_edited: bool = False

    @property
    def candidate_id(self) -> str:
        """The id of its candidate."""
        return self.slot.candidate_id


def draw_idea(
    slot: Slot, ideas: IdeaSampler, own: list[Idea], seed: int, *, with_target: bool
) -> tuple[Idea, MutationTarget]:
    """An idea of the slot's kind with its mutation target.

    Args:
        own: ideas of the user that wait to be used; a draw of a knowledge idea takes the first.
        with_target: whether to draw a target; otherwise it is ``any``.
    """
    kind = IdeaKind(slot.kind)
    if kind in (IdeaKind.NONE, IdeaKind.MUTATED):
        return Idea("", kind), MutationTarget.ANY
    generator = sampling.generator(seed, slot.place, "idea")
    idea = own.pop(0) if own and kind is IdeaKind.KNOWLEDGE else ideas.sample(kind, generator)
    return idea, sampling.draw(mutation_targets(idea), generator) if with_target else MutationTarget.ANY
