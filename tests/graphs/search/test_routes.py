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
        "is_reviewed": False,
        "reviewed_version": -1,
        "resample": ["memory"],
    }
    return state | changes


ROUTES = {
    "mutate": (candidate.route_mutated, candidate.AFTER_MUTATE),
    "execute": (candidate.route_executed, candidate.AFTER_EXECUTE),
    "debug": (candidate.route_debugged, candidate.AFTER_DEBUG),
    "measure": (candidate.route_measured, candidate.AFTER_MEASURE),
    "downscale": (candidate.route_downscaled, candidate.AFTER_DOWNSCALE),
    "judge": (candidate.route_judged, candidate.AFTER_JUDGE),
    "review": (candidate.route_reviewed, candidate.AFTER_REVIEW),
}
GIVEN_UP = {"step": "execute", "kind": "memory", "message": "", "log_tail": ""}
BROKEN = {"step": "execute", "kind": "shape", "message": "", "log_tail": ""}


def follow(node, state):
    """The node that follows in the candidate graph."""
    route, targets = ROUTES[node]
    return targets[route(state)]


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
    assert follow("execute", candidate_state(**changes)) == expected


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
    assert follow("debug", candidate_state(**changes)) == expected


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
    assert follow("measure", candidate_state(ran_version=0, calls=calls, **changes)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "execute"),
        ({"failure": BROKEN, "num_downscales": 1, "ran_version": 0}, "downscale"),
        ({"failure": BROKEN, "num_downscales": 4, "ran_version": 0}, "record"),
    ],
)
def test_what_follows_a_downscale(changes, expected):
    assert follow("downscale", candidate_state(**changes)) == expected


def test_what_follows_a_proposal_and_a_judgement():
    assert follow("mutate", candidate_state()) == "execute"
    assert follow("mutate", candidate_state(failure=BROKEN)) == "record"
    assert follow("judge", candidate_state()) == "train"
    assert follow("judge", candidate_state(failure=BROKEN)) == "record"


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
    state = candidate_state(is_reviewed=True, **changes)
    assert follow("judge", state) == judged
    assert follow("review", state) == reviewed


@pytest.mark.parametrize(
    ("stage", "label", "node"),
    [
        ("base", "start", "initial"),
        ("initial", "start", "initial"),
        ("fair", "stage I", "fair"),
        ("pareto", "stage II", "pareto"),
        ("refine", "stage III", "refine"),
    ],
)
def test_a_plan_with_slots_leads_to_its_stage(stage, label, node):
    state = {"slots": [{"candidate_id": "x"}], "stage": stage, "in_flight": []}
    assert search.route_planned(state) == label
    assert search.AFTER_PLAN[label] == node


def test_a_plan_without_slots_waits_for_candidates_in_flight_and_then_ends():
    assert search.route_planned({"slots": [], "in_flight": ["a"]}) == "candidates in flight"
    assert search.route_planned({"slots": [], "in_flight": []}) == "enough trained"


def test_a_wave_is_sent_to_the_candidate_graph_or_to_the_steady_state_schedule():
    wave = [{"candidate_id": "a", "idea": ""}, {"candidate_id": "b", "idea": ""}]
    sends = search.send_wave({"is_steady": False, "stage": "fair", "wave": wave})
    assert [(send.node, send.arg) for send in sends] == [("candidate", {"candidate_id": name}) for name in "ab"]
    assert search.send_wave({"is_steady": True, "stage": "fair", "wave": wave}) == "steady"
    (base,) = search.send_wave({"is_steady": True, "stage": "base", "wave": wave[:1]})
    assert base.node == "candidate"


def test_the_search_graph_is_small_and_its_arrows_carry_the_names_of_the_paper():
    picture = search.build().compile().get_graph()
    assert len(picture.nodes) <= 14
    assert len(picture.edges) <= 22
    labels = {edge.data for edge in picture.edges} - {None}
    assert {"stage I", "stage II", "stage III", "enough trained"} <= labels
    assert all(edge.data for edge in picture.edges if edge.conditional and edge.target != "steady")


def test_the_candidate_graph_says_why_each_arrow_is_taken():
    edges = candidate.build().compile().get_graph().edges
    assert all(edge.data for edge in edges if edge.conditional)
    assert {"fails", "over budget", "within budget", "new architecture"} <= {edge.data for edge in edges}
