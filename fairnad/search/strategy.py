"""The port of search strategies, and the paper's stages as one of them (§4.3, Algorithm 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from fairnad.domain.budget import Budget, has_room
from fairnad.ideas.idea import IdeaKind
from fairnad.records.candidate import BASE_ID, CandidateId, Stage
from fairnad.records.history import History, Record
from fairnad.search import sampling
from fairnad.search.draws import Slot
from fairnad.search.refinement import find_entry
from fairnad.settings.search_settings import SearchSettings

UPSCALE_BELOW = 0.9
"""Below this fraction of a limit a parent is scaled up (paper Table 5)."""


class Strategy(Protocol):
    """Decides which candidates are drawn next.

    A strategy keeps no state: the same draws and records give the same slots, so a resumed search continues
    unchanged. It never returns a slot that is in ``drawn``, and every parent is a trained candidate or the base.
    """

    def next_slots(self, drawn: Sequence[Slot], history: History, num_wanted: int) -> Sequence[Slot]:
        """The slots to draw now, at most ``num_wanted``; empty: wait for candidates in flight.

        Args:
            drawn: the slots of all draws so far, in order, without the base; those without a record are in flight.
            history: the records so far, the base's among them.
            num_wanted: how many trainings are left.
        """


class Place(NamedTuple):
    """A slot without the number of its draw. It is drawn until a candidate trains or its draws are used up."""

    generation: int
    stage: Stage
    round: int
    slot: int

    def drawn(self, number: int) -> CandidateId:
        """The candidate of its draw ``number``."""
        return CandidateId(*self, number)

    @property
    def before(self) -> Place:
        """The same chain one round earlier (stage III)."""
        return self._replace(round=self.round - 1)


def base_slot() -> Slot:
    """The base model, which every search trains first."""
    return Slot(BASE_ID, "", str(IdeaKind.NONE))


def slots_of_stage(
    generation: int, stage: Stage, history: History, search: SearchSettings, budgets: Sequence[Budget]
) -> list[Slot]:
    """The slots a stage opens in its first round, planned from ``history``."""
    if stage is Stage.REFINE:  # Stage III, lines 30–39
        parents = sampling.top_k(history, search.refine)
        places = [Place(generation, stage, 1, number) for number in range(len(parents))]
        return [chained_slot(place, p.candidate_id, history) for place, p in zip(places, parents, strict=True)]
    if stage is Stage.INITIAL:  # Lines 6–10: mutations of the base
        base_id = history.base.candidate_id if history.base else ""
        origins = [(base_id, IdeaKind.KNOWLEDGE)] * search.initial
    elif stage is Stage.FAIR:  # Stage I, lines 13–19
        origins = [(parent.candidate_id, IdeaKind.KNOWLEDGE) for parent in sampling.top_k(history, search.fair)]
    else:  # Stage II, lines 20–29
        parents = sampling.pareto_parents(history, budgets, search.pareto)
        origins = [(parent.candidate_id, _pareto_kind(parent, search, budgets)) for parent in parents]
    return [
        Slot(str(CandidateId(generation, stage, 1, number, 0)), parent_id, str(kind))
        for number, (parent_id, kind) in enumerate(origins)
    ]


def chained_slot(place: Place, current_id: str, history: History) -> Slot:
    """The slot of a chain of stage III whose last trained model is ``current_id``."""
    entry = find_entry(history, current_id)
    previous_id = entry.previous.candidate_id if entry.previous else ""
    edited_id = entry.edited.candidate_id
    return Slot(str(place.drawn(0)), edited_id, str(IdeaKind.MUTATED), current_id, previous_id)


def _pareto_kind(parent: Record, search: SearchSettings, budgets: Sequence[Budget]) -> IdeaKind:
    assert parent.evaluation is not None, "a parent is trained"
    when_all = search.upscale_when == "all"
    if has_room(parent.evaluation.costs, budgets, UPSCALE_BELOW, when_all=when_all):
        return IdeaKind.UPSCALE
    return IdeaKind.HYPERPARAMETER


class StageStrategy:
    """Initial mutations, then generations of stage I, II and III; a wave ends before the next one is drawn."""

    def __init__(self, search: SearchSettings, budgets: Sequence[Budget]) -> None:
        self._search = search
        self._budgets = budgets

    def next_slots(self, drawn: Sequence[Slot], history: History, num_wanted: int) -> Sequence[Slot]:
        """See :class:`Strategy`. Slots that failed are drawn again, those with the fewest draws first."""
        if any(history.get(slot.candidate_id) is None for slot in drawn):
            return ()
        stage = self._last_stage(history)
        for _ in range(self._search.refine_rounds + len(Stage)):
            if slots := self._open_slots(stage, history):
                return sorted(slots, key=lambda slot: (slot.place.draw, slot.place.slot))[:num_wanted]
            stage = self._next_stage(stage)
        return ()

    def _last_stage(self, history: History) -> Place:
        last = history.records[-1].place
        return Place(last.generation, last.stage, last.round, 0)

    def _next_stage(self, last: Place) -> Place:
        if last.stage is Stage.BASE:
            return last._replace(stage=Stage.INITIAL)
        if last.stage is Stage.FAIR:
            return last._replace(stage=Stage.PARETO)
        if last.stage is Stage.PARETO:
            return last._replace(stage=Stage.REFINE)
        if last.stage is Stage.REFINE and last.round < self._search.refine_rounds:
            return last._replace(round=last.round + 1)
        return Place(last.generation + 1, Stage.FAIR, 1, 0)

    def _open_slots(self, stage: Place, history: History) -> list[Slot]:
        """The slots of a stage that have not trained and may be drawn again."""
        found = []
        for slot in self._all_slots(stage, history):
            draws = _draws_of(slot, history)
            if not any(record.trained for record in draws) and len(draws) < self._search.max_draws:
                found.append(replace(slot, candidate_id=str(slot.place._replace(draw=len(draws)))))
        return found

    def _all_slots(self, stage: Place, history: History) -> list[Slot]:
        """Every slot of a stage, planned from the records of earlier stages."""
        if stage.stage is Stage.BASE:
            return []
        earlier = history.before((stage.generation, stage.stage.order, stage.round))
        if stage.stage is not Stage.REFINE or stage.round == 1:
            return slots_of_stage(stage.generation, stage.stage, earlier, self._search, self._budgets)
        slots = []
        for slot in self._all_slots(stage.before, history):
            trained = [record.candidate_id for record in _draws_of(slot, history) if record.trained]
            place = stage._replace(slot=slot.place.slot)
            slots.append(chained_slot(place, trained[0] if trained else slot.current_id, earlier))
        return slots


def _draws_of(slot: Slot, history: History) -> list[Record]:
    place = slot.place[:4]
    return [record for record in history.records if record.place[:4] == place]
