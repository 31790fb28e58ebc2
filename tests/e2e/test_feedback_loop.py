"""Every edge of the feedback loop, with a real lab, a real store and a scripted language model over HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest

from fairnad.records.history import History, Record
from fairnad.settings.search_settings import RunContext
from graphs.cli.runner import run
from tests.e2e.networks import BROKEN, NO_NETWORK, SINGLE_LAYER, network
from tests.e2e.scripts import Script, fenced
from tests.openai_server import ScriptedServer, prompt_of

BASE = network()
GOOD = network(width=9)
TOO_LARGE = network(width=12)
SMALLER = network(width=11)
FAR_TOO_LARGE = network(width=12, num_added=9)
STILL_TOO_LARGE = network(width=12, num_added=1)

Search = Callable[..., tuple[Script, History]]


@pytest.fixture
def search(context: Callable[..., RunContext], history: Callable[..., History]) -> Search:
    """Runs a search of one slot against a script; each slot is drawn once unless a test asks for more."""

    def make(*, status: int = 1, settings: dict[str, object] | None = None, **replies: Sequence[str]):
        script = Script(**replies)
        with ScriptedServer(script) as server:
            given = {"search.max_draws": 1, "search.max_barren_draws": 1} | (settings or {})
            told = context(**{"llm.model": "scripted", "llm.base_url": server.url}, **given)
            assert run(told) == status
        return script, history()

    return make


def only(history: History) -> Record:
    (record,) = history.drawn
    return record


def test_a_candidate_that_passes_the_first_time(search):
    script, history = search(status=0, mutate=[fenced(GOOD)])
    record = only(history)
    assert script.asked == ["mutate", "judge"]
    assert record.trained
    assert record.source == GOOD
    assert (record.num_debugs, record.num_downscales) == (0, 0)
    assert [(call.role, call.input_tokens, call.output_tokens) for call in record.calls] == [
        ("mutation", 100, 50),
        ("structural_judge", 100, 50),
    ]
    assert history.base is not None and history.base.source == BASE
    asked = script.requests[1]
    assert "response_format" not in asked and "JSON" not in prompt_of(asked), "paper mode adds nothing to a prompt"


def test_a_judge_beside_other_players_is_asked_for_data(search):
    script, _ = search(
        status=0, mutate=[fenced(GOOD)], settings={"agents.mode": "best", "agents.structural_judge": "llm"}
    )
    assert script.asked[-1] == "judge"
    assert script.requests[-1]["response_format"]["type"] == "json_schema"


def test_a_candidate_that_is_debugged_once(search):
    script, history = search(status=0, mutate=[fenced(BROKEN)], debug=[fenced(GOOD)])
    assert script.asked == ["mutate", "debug", "judge"]
    assert only(history).num_debugs == 1
    told = script.requests[1]["messages"][1]["content"]
    assert "mat1 and mat2 shapes" in told, "the debugger is shown the error"
    assert BROKEN in told


def test_a_candidate_that_is_debugged_twice(search):
    script, history = search(status=0, mutate=[fenced(BROKEN)], debug=[fenced(NO_NETWORK), fenced(GOOD)])
    assert script.asked == ["mutate", "debug", "debug", "judge"]
    assert only(history).trained


def test_a_candidate_that_two_debugs_do_not_mend(search):
    script, history = search(mutate=[fenced(BROKEN)], debug=[fenced(BROKEN)])
    assert script.asked == ["mutate", "debug", "debug"]
    failure = only(history).failure
    assert failure is not None
    assert (failure.step, failure.kind) == ("execute", "shape")


def test_a_debugger_that_replies_without_code_uses_its_tries_up(search):
    script, history = search(mutate=[fenced(BROKEN)], debug=["I cannot."])
    failure = only(history).failure
    assert script.asked == ["mutate", "debug", "debug"]
    assert failure is not None and failure.kind == "shape"


@pytest.mark.parametrize("num_downscales", [1, 2, 3, 4])
def test_a_candidate_that_is_downscaled(search, num_downscales):
    replies = [fenced(TOO_LARGE)] * (num_downscales - 1) + [fenced(GOOD)]
    script, history = search(status=0, mutate=[fenced(SMALLER)], downscale=replies)
    assert script.asked == ["mutate", *["downscale"] * num_downscales, "judge"]
    assert only(history).num_downscales == num_downscales
    assert only(history).source == GOOD


def test_a_candidate_that_four_downscales_do_not_bring_under_its_limits(search):
    script, history = search(mutate=[fenced(TOO_LARGE)], downscale=[fenced(TOO_LARGE)])
    failure = only(history).failure
    assert script.asked == ["mutate", *["downscale"] * 4]
    assert failure is not None
    assert (failure.step, failure.kind) == ("downscale", "budget")
    assert re.match(r"params at 12\d% of its limit", failure.message)


def test_far_over_a_limit_the_added_module_is_restricted_to_one_use_once(search):
    script, history = search(status=0, mutate=[fenced(FAR_TOO_LARGE)], downscale=[fenced(FAR_TOO_LARGE), fenced(GOOD)])
    first, second = [request["messages"][0]["content"] for request in script.requests[1:3]]
    assert "Use it once, and only once" in first
    assert "Use it once, and only once" not in second
    assert only(history).num_downscales == 2


def test_a_downscale_that_breaks_the_source_is_debugged_and_then_starts_from_the_last_that_ran(search):
    script, history = search(
        status=0,
        mutate=[fenced(TOO_LARGE)],
        downscale=[fenced(BROKEN), fenced(GOOD)],
        debug=[fenced(BROKEN)],
    )
    assert script.asked == ["mutate", "downscale", "debug", "debug", "downscale", "judge"]
    assert TOO_LARGE in script.requests[4]["messages"][1]["content"]
    assert only(history).trained


def test_an_unmodified_architecture_is_out(search):
    verdict = "changed: no - only a comment\nmulti-layer: yes\n##response## no"
    _, history = search(mutate=[fenced(f"# a comment\n{BASE}")], judge=[verdict])
    failure = only(history).failure
    assert failure is not None and (failure.step, failure.kind) == ("judge", "unchanged")


def test_an_architecture_that_is_already_there_is_a_duplicate_whatever_the_judge_says(search):
    _, history = search(mutate=[fenced(f"# a comment\n{BASE}")])
    record = only(history)
    assert record.failure is not None and record.failure.kind == "duplicate"
    assert record.duplicate_of == "g00-base-r1-s00-d0"


def test_a_single_layer_is_out(search):
    verdict = "changed: yes\nmulti-layer: no - one convolution\n##response## no"
    _, history = search(mutate=[fenced(SINGLE_LAYER)], judge=[verdict])
    failure = only(history).failure
    assert failure is not None and failure.kind == "single layer"


def test_garbage_is_a_failure_of_the_reply_and_the_slot_is_drawn_again(search):
    script, history = search(
        status=0,
        mutate=["¯\\_(ツ)_/¯", fenced(GOOD)],
        settings={"search.max_draws": 4, "search.max_barren_draws": 24},
    )
    assert script.asked == ["mutate", "mutate", "judge"]
    assert [record.candidate_id for record in history.drawn] == ["g00-initial-r1-s00-d0", "g00-initial-r1-s00-d1"]
    first = history.drawn[0].failure
    assert first is not None and (first.step, first.kind) == ("mutate", "reply")


def test_twenty_four_failures_in_a_row_end_the_search_and_name_the_commonest(search, capsys):
    script, history = search(
        mutate=["no code"], settings={"search.initial": 8, "search.max_draws": 4, "search.max_barren_draws": 24}
    )
    assert script.asked == ["mutate"] * 24
    assert len(history.drawn) == 24
    assert "the commonest failure is mutate: reply (24 of 24 draws)" in capsys.readouterr().out


def test_without_the_judge_nothing_is_asked(search):
    script, history = search(status=0, mutate=[fenced(GOOD)], settings={"search.judge_structure": False})
    assert script.asked == ["mutate"]
    assert only(history).trained
