from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnad.ideas.attribute_tree import Category, Granularity, Target
from fairnad.records.candidate import (
    Call,
    CandidateId,
    CheckReport,
    Evaluation,
    Failure,
    FailureKind,
    Stage,
    Step,
    plain,
)
from fairnad.records.history import Record

COUNTS = st.integers(0, 10**6)
PLACES = st.builds(CandidateId, COUNTS, st.sampled_from(Stage), COUNTS, COUNTS, COUNTS)


@given(PLACES)
def test_an_id_and_its_text_stand_for_each_other(place: CandidateId) -> None:
    assert CandidateId.parse(str(place)) == place


@given(PLACES, PLACES)
def test_two_places_never_share_a_text(one: CandidateId, other: CandidateId) -> None:
    assert (str(one) == str(other)) == (one == other)


def test_an_id_reads_as_the_place_it_names() -> None:
    assert str(CandidateId(3, Stage.REFINE, 2, 1, 0)) == "g03-refine-r2-s01-d0"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "base",
        "g01-fair-r1-s00",
        "g1-fair-r1-s00-d0",
        "g01-fair-r1-s0-d0",
        "g01-other-r1-s00-d0",
        "g01-FAIR-r1-s00-d0",
        "g-1-fair-r1-s00-d0",
        " g01-fair-r1-s00-d0",
        "g01-fair-r1-s00-d0\n",
        "g01-fair-r1-s00-d0.py.txt",
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a candidate id: "):
        CandidateId.parse(text)


@pytest.mark.parametrize(
    "text", ["g001-fair-r1-s00-d0", "g01-fair-r01-s00-d0", "g01-fair-r1-s00-d00", "g01-fair-r١-s00-d0"]
)
def test_a_second_spelling_of_an_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a candidate id: "):
        CandidateId.parse(text)


def test_ids_sort_as_the_search_draws_them() -> None:
    drawn = [
        "g00-base-r1-s00-d0",
        "g00-initial-r1-s00-d0",
        "g00-initial-r1-s01-d0",
        "g00-initial-r1-s00-d1",
        "g01-fair-r1-s00-d0",
        "g01-fair-r1-s99-d0",
        "g01-fair-r1-s100-d0",
        "g01-fair-r1-s00-d1",
        "g01-pareto-r1-s00-d0",
        "g01-refine-r1-s00-d0",
        "g01-refine-r1-s03-d2",
        "g01-refine-r2-s00-d0",
        "g02-fair-r1-s00-d0",
        "g100-fair-r1-s00-d0",
    ]
    shuffled = [*drawn[1::2], *drawn[::2]]
    assert sorted(shuffled, key=lambda text: CandidateId.parse(text).order) == drawn


def test_the_stages_follow_each_other_as_in_the_paper() -> None:
    places = [CandidateId(1, stage, 1, 0, 0) for stage in sorted(Stage)]
    assert [str(place.stage) for place in sorted(places, key=lambda place: place.order)] == [
        "base",
        "initial",
        "fair",
        "pareto",
        "refine",
    ]


def test_times_and_isolation_do_not_make_reports_and_evaluations_different() -> None:
    costs = {"params": 1.0}
    assert CheckReport(costs, "f", 2, seconds=1) == CheckReport(costs, "f", 2, seconds=2)
    assert Evaluation(0.5, "d", costs, "f", seconds=1, isolation="jail") == Evaluation(0.5, "d", costs, "f")
    assert Evaluation(0.5, "d", costs, "f") != Evaluation(0.5, "e", costs, "f")


def test_a_whole_record_becomes_json_data(trained: Callable[..., Record]) -> None:
    call = Call("mutator", "model", 10, 20, 1.5, True, usd=0.25)
    data = plain(trained("g01-fair-r1-s00-d0", 0.25, calls=(call,)))
    assert json.loads(json.dumps(data)) == data
    assert data["candidate_id"] == "g01-fair-r1-s00-d0"
    assert data["idea"]["tag"]["granularity"] == "block and connectivity"
    assert data["evaluation"]["accuracy"] == 0.25
    assert data["calls"] == [
        {
            "role": "mutator",
            "model": "model",
            "input_tokens": 10,
            "output_tokens": 20,
            "seconds": 1.5,
            "ok": True,
            "note": "",
            "usd": 0.25,
        }
    ]


def test_enums_become_strings_that_are_no_enums_any_more() -> None:
    data = plain(Failure(Step.DEBUG, FailureKind.SINGLE_LAYER, "one line"))
    assert data == {
        "step": "debug",
        "kind": "single layer",
        "message": "one line",
        "log_tail": "",
        "shape_trace": "",
    }
    assert {type(value) for value in data.values()} == {str}


def test_ids_become_their_text_and_tuples_lists() -> None:
    place = CandidateId(1, Stage.FAIR, 1, 0, 0)
    assert plain([(place, 1, None), (True, 0.5)]) == [["g01-fair-r1-s00-d0", 1, None], [True, 0.5]]


def test_keys_become_strings() -> None:
    category = Category(Target.EFFICIENCY, Granularity.NETWORK, "scaling")
    data = plain({category: ("width",), Target.PERFORMANCE: {1: Stage.BASE}})
    assert data == {"efficiency / network / scaling": ["width"], "performance": {"1": "base"}}
    assert {type(key) for key in data} == {str}


def test_every_field_of_a_data_class_is_kept_and_no_property() -> None:
    @dataclass(frozen=True, slots=True)
    class Pair:
        first: int
        second: tuple[int, ...]

        @property
        def total(self) -> int:
            return self.first + sum(self.second)

    assert plain(Pair(1, (2, 3))) == {"first": 1, "second": [2, 3]}
