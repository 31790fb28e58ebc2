"""The steady-state schedule: draws a candidate whenever a slot is free, without waiting for a stage to end.

The paper draws a stage, waits for all of it, and draws the next (Algorithm 2). The steady-state schedule draws the
same stages in the same proportions, k₁ : k₂ : k₃·d, from parents among the candidates that have finished.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from fairnad.domain.budget import Budget
from fairnad.records.candidate import CandidateId, Stage
from fairnad.records.history import History
from fairnad.search.draws import Draw, Slot
from fairnad.search.strategy import Place, chained_slot, slots_of_stage
from fairnad.settings.search_settings import SearchSettings


class SteadyStateStrategy:
    """Draws all stages, evenly mixed; see :class:`fairnad.search.strategy.Strategy`."""

    def __init__(self, search: SearchSettings, budgets: Sequence[Budget]) -> None:
        self._search = search
        self._budgets = budgets

    def next_slots(self, drawn: Sequence[Slot], history: History, num_wanted: int) -> Sequence[Slot]:
        """The next ``num_wanted`` slots."""
        known = {slot.place: slot for slot in drawn}
        made: list[Slot] = []
        for _ in range(num_wanted):
            candidate = next_place(known, history, self._search)
            slot = self._plan(candidate, known, history)
            known[candidate] = slot
            made.append(slot)
        return made

    def _plan(self, candidate: CandidateId, known: Mapping[CandidateId, Slot], history: History) -> Slot:
        place = Place(*candidate[:4])
        if place.round == 1:
            slots = slots_of_stage(place.generation, place.stage, history, self._search, self._budgets)
            slot = slots[place.slot]
        else:
            link = last_draws(known)[place.before]
            current_id = str(link) if history[str(link)].trained else known[link].current_id
            slot = chained_slot(place, current_id, history)
        return replace(slot, candidate_id=str(candidate))


class ReplayedDraws:
    """Repeats the draws of another run, each when the records it was based on exist."""

    def __init__(self, draws: Sequence[Draw]) -> None:
        self._draws = draws

    def next_slots(self, drawn: Sequence[Slot], history: History, num_wanted: int) -> Sequence[Slot]:
        """The next slots; ``num_wanted`` is ignored, because the other run had room for them."""
        waiting = self._draws[len(drawn) :]
        ready = itertools.takewhile(lambda draw: all(history.get(name) is not None for name in draw.settled), waiting)
        return [draw.slot for draw in ready]


def next_place(drawn: Iterable[CandidateId], history: History, search: SearchSettings) -> CandidateId:
    """The next candidate: a failed slot again, otherwise the first slot that can be drawn.

    A round of stage III can be drawn once the round before it is over; until then other slots go ahead.

    Args:
        drawn: every candidate but the base that was drawn so far, in flight or recorded.
        history: the records so far.
    """
    last = last_draws(drawn)
    for generation in itertools.count():
        for place in places(generation, search):
            draw = last.get(place)
            if draw is None:
                if place.round == 1 or is_over(place.before, last, history, search):
                    return place.drawn(0)
            elif history.get(str(draw)) is not None and not is_over(place, last, history, search):
                return place.drawn(draw.draw + 1)
    raise AssertionError("there is always another generation")


def last_draws(drawn: Iterable[CandidateId]) -> Mapping[Place, CandidateId]:
    """The last draw of each drawn place."""
    last: dict[Place, CandidateId] = {}
    for candidate in drawn:
        place = Place(candidate.generation, candidate.stage, candidate.round, candidate.slot)
        last[place] = max(last.get(place, candidate), candidate, key=lambda one: one.draw)
    return last


def is_over(place: Place, last: Mapping[Place, CandidateId], history: History, search: SearchSettings) -> bool:
    """Whether a place is finished: one of its draws has trained, or all have failed."""
    draw = last.get(place)
    record = history.get(str(draw)) if draw is not None else None
    return record is not None and (record.trained or record.place.draw + 1 >= search.max_draws)


def places(generation: int, search: SearchSettings) -> Sequence[Place]:
    """The places of a generation in drawing order, stages evenly mixed. Generation 0 is the initial stage.

    A generation holds k₁ places of stage I, k₂ of stage II and k₃·d of stage III, round by round.
    """
    if not generation:
        return list(_slots(0, Stage.INITIAL, search.initial))
    rounds = range(1, search.refine_rounds + 1)
    stages = (
        list(_slots(generation, Stage.FAIR, search.fair)),
        list(_slots(generation, Stage.PARETO, search.pareto)),
        [place for number in rounds for place in _slots(generation, Stage.REFINE, search.refine, number)],
    )
    share = {place: (i + 0.5) / len(stage) for stage in stages for i, place in enumerate(stage)}
    return sorted(share, key=lambda place: (share[place], place.stage.order))


def _slots(generation: int, stage: Stage, number: int, round_number: int = 1) -> Iterator[Place]:
    return (Place(generation, stage, round_number, slot) for slot in range(number))


@dataclass(frozen=True, slots=True)
class Pace:
    """The measured speed of a search.

    ``proposal_seconds`` is the mean time from a draw until the candidate is ready to train or has failed,
    ``training_seconds`` the mean time of a training; both are ``None`` before the first one. ``valid_share`` is the
    share of draws that train.
    """

    proposal_seconds: float | None
    training_seconds: float | None
    valid_share: float


def depth(pace: Pace, num_slots: int, most_proposals: int) -> int:
    """The number of candidates to keep in flight: one for each slot, plus proposals to keep the slots busy.

    The slots need ``num_slots / training_seconds / valid_share`` draws per second, and a draw takes
    ``proposal_seconds``; the product is the number of proposals in progress (Little's law). Its square root is added
    for variation. More candidates in flight would only make parents older.

    Args:
        most_proposals: the maximum in progress: the number of concurrent calls of language models.
    """
    if not pace.proposal_seconds or not pace.training_seconds:
        needed = float(num_slots)
    else:
        needed = num_slots * pace.proposal_seconds / (pace.training_seconds * pace.valid_share)
    proposals = math.ceil(needed + math.sqrt(needed))
    return num_slots + max(1, min(proposals, most_proposals))


def staleness(draws: Sequence[tuple[str, Sequence[str]]], recorded: Iterable[str]) -> float | None:
    """The mean number of candidates recorded between a candidate's draw and its own record.

    Args:
        draws: all draws in order, each with the ids recorded since the previous draw.
        recorded: the ids of all records.

    Returns:
        ``None`` if no draw has a record.
    """
    order: dict[str, int] = {}
    known: dict[str, int] = {}
    for candidate_id, settled in draws:
        for other in settled:
            order[other] = len(order)
        known[candidate_id] = len(order)
    for other in sorted(set(recorded) - order.keys()):
        order[other] = len(order)
    waits = [order[name] - number for name, number in known.items() if name in order]
    return sum(waits) / len(waits) if waits else None
