"""Which place is drawn next in the steady schedule, and how many candidates are in flight."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.records.candidate import CandidateId, Evaluation, Failure, FailureKind, Stage, Step
from fairnad.records.history import History, Record
from fairnad.search.steady_state import Pace, depth, next_place, places, staleness
from fairnad.settings.search_settings import SearchSettings

SEARCH = SearchSettings(initial=2, fair=4, pareto=2, refine=2, refine_rounds=2, max_draws=2)


def record(candidate: CandidateId, *, trained: bool = True) -> Record:
    evaluation = Evaluation(0.5, "r", {}, str(candidate)) if trained else None
    failure = None if trained else Failure(Step.EXECUTE, FailureKind.SHAPE, "")
    return Record(str(candidate), "", Idea("", IdeaKind.NONE), "", evaluation, failure)


def draw(number: int, records: list[Record]) -> list[CandidateId]:
    """So many draws in a row, while nothing else is recorded."""
    drawn: list[CandidateId] = []
    for _ in range(number):
        drawn.append(next_place(drawn, History(records), SEARCH))
    return drawn


def test_a_generation_mixes_its_stages_in_their_proportions():
    planned = places(1, SEARCH)
    assert Counter(place.stage for place in planned) == {Stage.FAIR: 4, Stage.PARETO: 2, Stage.REFINE: 4}
    for half in (planned[:5], planned[5:]):
        assert Counter(place.stage for place in half) == {Stage.FAIR: 2, Stage.PARETO: 1, Stage.REFINE: 2}
    assert [place.stage for place in places(0, SEARCH)] == [Stage.INITIAL] * 2


def test_the_initial_places_come_first_and_nobody_waits_for_them():
    assert [place.stage for place in draw(3, [])] == [Stage.INITIAL, Stage.INITIAL, Stage.FAIR]


def test_a_chain_waits_for_its_last_link_while_others_go_ahead():
    in_flight = draw(12, [])
    assert all(candidate.round == 1 for candidate in in_flight)
    assert in_flight[-1].generation == 2, "the next generation begins rather than a slot standing empty"
    link = CandidateId(1, Stage.REFINE, 1, 1, 0)
    assert next_place(in_flight, History([record(link)]), SEARCH) == CandidateId(1, Stage.REFINE, 2, 1, 0)


def test_a_failed_place_is_drawn_again_until_its_draws_are_spent():
    first, second, third = draw(3, [])
    failed = [record(first, trained=False)]
    again = next_place([first, second, third], History(failed), SEARCH)
    assert again == first._replace(draw=1)
    spent = [*failed, record(again, trained=False)]
    following = next_place([first, second, third, again], History(spent), SEARCH)
    assert following not in (first._replace(draw=2), second, third)
    assert following.generation == 1


@pytest.mark.parametrize(
    ("proposal", "training", "valid_share", "num_slots", "expected"),
    [
        (10.0, 10.0, 1.0, 1, 1 + 2),
        (10.0, 10.0, 0.5, 1, 1 + 4),
        (40.0, 10.0, 1.0, 4, 4 + 20),
        (0.001, 10.0, 1.0, 2, 2 + 1),
        (None, None, 1.0, 4, 4 + 6),
        (1000.0, 1.0, 0.1, 2, 2 + 32),
    ],
)
def test_the_queue_is_as_deep_as_the_speeds_need(proposal, training, valid_share, num_slots, expected):
    assert depth(Pace(proposal, training, valid_share), num_slots, most_proposals=32) == expected


def test_slower_proposals_and_fewer_valid_ones_never_make_the_queue_shallower():
    depths = [depth(Pace(seconds, 5.0, 0.5), 3, 1000) for seconds in range(1, 100)]
    assert depths == sorted(depths)
    shares = [depth(Pace(5.0, 5.0, share / 10), 3, 1000) for share in range(10, 0, -1)]
    assert shares == sorted(shares)
    assert math.isfinite(shares[-1])


def test_staleness_counts_what_was_recorded_between_a_draw_and_its_record():
    draws = [("a", ["base"]), ("b", []), ("c", ["a"]), ("d", ["b"])]
    assert staleness(draws, ["base", "a", "b", "c", "d"]) == (0 + 1 + 1 + 1) / 4
    assert staleness([], ["base"]) is None
