"""Every conditional edge, as the pure function it is."""

import json

import pytest
from langchain_core.messages import ToolMessage

from graphs.candidate import graph as candidate
from graphs.search import graph as search


def candidate_state(**changes):
    state = {
        "failure": None,
        "version": 0,
        "ran_version": -1,
        "num_debugs": 0,
        "num_downscales": 0,
        "max_debugs": 2,
        "max_downscales": 4,
        "review": False,
        "reviewed_version": -1,
        "choices": {"resample": ["memory"]},
    }
    return state | changes


GIVEN_UP = {"step": "execute", "kind": "memory", "message": "", "log_tail": ""}
BROKEN = {"step": "execute", "kind": "shape", "message": "", "log_tail": ""}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "measure"),
        ({"failure": BROKEN}, "debug"),
        ({"failure": BROKEN, "num_debugs": 1}, "debug"),
        ({"failure": BROKEN, "num_debugs": 2}, "record"),
        ({"failure": BROKEN, "num_debugs": 1, "ran_version": 0, "num_downscales": 1}, "debug"),
        ({"failure": BROKEN, "num_debugs": 2, "ran_version": 0, "num_downscales": 1}, "downscale"),
        ({"failure": BROKEN, "num_debugs": 2, "ran_version": 0, "num_downscales": 4}, "record"),
        ({"failure": BROKEN, "max_debugs": 0}, "record"),
        ({"failure": GIVEN_UP}, "debug"),
        ({"failure": GIVEN_UP, "num_debugs": 1}, "record"),
        ({"failure": GIVEN_UP, "num_debugs": 1, "ran_version": 0}, "downscale"),
    ],
)
def test_what_follows_an_execution(changes, expected):
    assert candidate.route_executed(candidate_state(**changes)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "execute"),
        ({"failure": BROKEN, "num_debugs": 1}, "debug"),
        ({"failure": BROKEN, "num_debugs": 2}, "record"),
        ({"failure": BROKEN, "num_debugs": 2, "ran_version": 3, "num_downscales": 2}, "downscale"),
        ({"failure": GIVEN_UP, "num_debugs": 1}, "record"),
    ],
)
def test_what_follows_a_debug(changes, expected):
    assert candidate.route_debugged(candidate_state(**changes)) == expected


@pytest.mark.parametrize(
    ("over", "changes", "expected"),
    [
        ([], {}, "judge"),
        (["flops"], {}, "downscale"),
        (["flops"], {"num_downscales": 3}, "downscale"),
        (["flops"], {"num_downscales": 4}, "record"),
        (["params", "flops"], {"max_downscales": 0}, "record"),
    ],
)
def test_what_follows_a_measurement(over, changes, expected):
    calls = [ToolMessage(json.dumps({"over": over}), tool_call_id="x")]
    assert candidate.route_measured(candidate_state(ran_version=0, calls=calls, **changes)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "execute"),
        ({"failure": BROKEN, "num_downscales": 1, "ran_version": 0}, "downscale"),
        ({"failure": BROKEN, "num_downscales": 4, "ran_version": 0}, "record"),
    ],
)
def test_what_follows_a_downscale(changes, expected):
    assert candidate.route_downscaled(candidate_state(**changes)) == expected


def test_what_follows_a_proposal_and_a_judgement():
    assert candidate.route_proposed(candidate_state()) == "execute"
    assert candidate.route_proposed(candidate_state(failure=BROKEN)) == "record"
    assert candidate.route_judged(candidate_state()) == "train"
    assert candidate.route_judged(candidate_state(failure=BROKEN)) == "record"


@pytest.mark.parametrize(
    ("changes", "judged", "reviewed"),
    [
        ({"ran_version": 0}, "review", "train"),
        ({"ran_version": 0, "reviewed_version": 0}, "train", "train"),
        ({"version": 1, "ran_version": 0, "reviewed_version": 1}, "train", "execute"),
        ({"version": 2, "ran_version": 2, "reviewed_version": 1}, "review", "train"),
        ({"ran_version": 0, "failure": BROKEN}, "record", "record"),
    ],
)
def test_a_person_sees_every_version_once_and_what_they_wrote_runs_first(changes, judged, reviewed):
    state = candidate_state(review=True, **changes)
    assert candidate.route_judged(state) == judged
    assert candidate.route_reviewed(state) == reviewed


def test_a_search_begins_with_the_base_and_one_that_ended_goes_on_where_it_ended():
    assert search.route_prepared({}) == "draw"
    assert search.route_prepared(search_state("pareto", num_trained=3)) == "refine"
    assert search.route_prepared(search_state("pareto", num_trained=3, num_left=0)) == "promote"


def slot(number, num_draws=1, trained_id="x"):
    return {"slot": number, "num_draws": num_draws, "trained_id": trained_id}


def search_state(stage, **changes):
    state = {
        "schedule": {"refine_rounds": 2, "max_draws": 4, "max_barren_draws": 24},
        "stage": stage,
        "round": 1,
        "slots": [slot(0), slot(1)],
        "num_left": 5,
        "num_barren": 0,
    }
    return state | changes


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (search_state("base"), "initial"),
        (search_state("initial"), "next_generation"),
        (search_state("fair"), "pareto"),
        (search_state("pareto"), "refine"),
        (search_state("refine"), "refine"),
        (search_state("refine", round=2), "next_generation"),
        (search_state("fair", slots=[slot(0), slot(1, 1, "")]), "draw"),
        (search_state("fair", slots=[slot(0), slot(1, 4, "")]), "pareto"),
        (search_state("fair", slots=[]), "pareto"),
        (search_state("fair", num_left=0), "promote"),
        (search_state("fair", slots=[slot(0, 1, "")], num_left=0), "promote"),
        (search_state("fair", slots=[slot(0, 1, "")], num_barren=23), "draw"),
        (search_state("fair", slots=[slot(0, 1, "")], num_barren=24), "promote"),
    ],
)
def test_what_follows_a_settled_wave(state, expected):
    assert search.route_settled(state) == expected


def test_a_wave_is_sent_to_the_candidate_graph_and_an_empty_one_is_settled():
    sends = search.send_wave({"wave": [{"candidate_id": "a"}, {"candidate_id": "b"}]})
    assert [(send.node, send.arg["candidate_id"]) for send in sends] == [("candidate", "a"), ("candidate", "b")]
    assert search.send_wave({"wave": []}) == ["settle"]
