"""The steady schedule: which place of a search is drawn next, and how many candidates are in flight at a time.

The paper's schedule draws a stage, waits for all of it, and draws the next (Algorithm 2). The steady one draws the
same operators in the same proportions, k₁ : k₂ : k₃·d, but each candidate as soon as there is room for it, from
parents among those that have finished.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fairnad.records.candidate import CandidateId, Stage
from fairnad.records.history import History
from fairnad.settings.search_settings import SearchSettings


class Place(NamedTuple):
    """A place of the search, which is drawn until a draw of it trains or its draws are spent."""

    generation: int
    stage: Stage
    round: int
    slot: int

    def drawn(self, number: int) -> CandidateId:
        """The candidate of its draw ``number``."""
        return CandidateId(*self, number)

    @property
    def before(self) -> Place:
        """The link of the chain that one of stage refine goes on from."""
        return self._replace(round=self.round - 1)


def next_place(drawn: Iterable[CandidateId], history: History, search: SearchSettings) -> CandidateId:
    """The candidate to be drawn next: a failed place again, or else the first place that can be drawn.

    A link of a chain can be drawn once the link before it is over; until then the places behind it go ahead.

    Args:
        drawn: every candidate but the base that was drawn so far, in flight or recorded.
        history: the records there are.
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
    """The last draw of each place that was drawn."""
    last: dict[Place, CandidateId] = {}
    for candidate in drawn:
        place = Place(candidate.generation, candidate.stage, candidate.round, candidate.slot)
        last[place] = max(last.get(place, candidate), candidate, key=lambda one: one.draw)
    return last


def is_over(place: Place, last: Mapping[Place, CandidateId], history: History, search: SearchSettings) -> bool:
    """Whether a place is drawn no more: a draw of it has trained, or all its draws have failed."""
    draw = last.get(place)
    record = history.get(str(draw)) if draw is not None else None
    return record is not None and (record.trained or record.place.draw + 1 >= search.max_draws)


def places(generation: int, search: SearchSettings) -> Sequence[Place]:
    """The places of a generation in the order they are drawn, its stages evenly mixed; generation 0 is stage initial.

    A generation holds k₁ of stage fair, k₂ of stage pareto and k₃·d of stage refine, the rounds one after the other.
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
    """How fast a search goes, as measured so far.

    ``proposal_seconds`` is the mean from a draw until the candidate is ready to train, or out; ``training_seconds``
    the mean of a training; both ``None`` until there is one. ``valid_share`` of the draws train.
    """

    proposal_seconds: float | None
    training_seconds: float | None
    valid_share: float


def depth(pace: Pace, num_slots: int, most_proposals: int) -> int:
    """How many candidates are to be in flight: one a slot, and the proposals that keep the slots fed.

    A slot takes a candidate every ``training_seconds``, so ``num_slots / training_seconds / valid_share`` draws a
    second are needed, and a draw is proposed for ``proposal_seconds``: their product are the proposals in progress
    (Little's law). Its square root comes on top, since neither takes always the same time. More would be of no use,
    and would make the parents of a candidate older by the time it trains.

    Args:
        most_proposals: that may be in progress, the calls of language models allowed at a time.
    """
    if not pace.proposal_seconds or not pace.training_seconds:
        needed = float(num_slots)
    else:
        needed = num_slots * pace.proposal_seconds / (pace.training_seconds * pace.valid_share)
    proposals = math.ceil(needed + math.sqrt(needed))
    return num_slots + max(1, min(proposals, most_proposals))


def staleness(draws: Sequence[tuple[str, Sequence[str]]], recorded: Iterable[str]) -> float | None:
    """How many candidates were recorded between a candidate's draw and its own record, on average.

    Args:
        draws: every draw in order, with the ids that were recorded since the draw before it.
        recorded: the ids of all records.

    Returns:
        ``None`` without any record of a draw.
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
