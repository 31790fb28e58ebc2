"""A second future of a search: what it shares, what it refuses, and that the same past leads on."""

from __future__ import annotations

import json

import pytest

from graphs.cli.search_command import main
from tests.e2e.scripts import lively
from tests.openai_server import ScriptedServer

SMALL = {"archs": 4, "search.initial": 2, "search.fair": 2, "search.pareto": 1, "search.refine": 1}


@pytest.fixture
def origin(flags, tmp_path):
    """A finished search named origin, and the means to run it or its forks."""
    with ScriptedServer(lively) as model:
        told = {**SMALL, "llm.model": "m", "llm.base_url": model.url}
        assert main(flags(**told, run="origin")) == 0
        yield lambda *words: main([*words, "--runs", str(tmp_path / "runs")])


def test_a_fork_goes_on_as_its_origin_did_where_nothing_was_changed(origin, history, tmp_path, capsys):
    capsys.readouterr()
    assert origin("fork", "origin", "--json") == 0
    checkpoints = json.loads(capsys.readouterr().out)["checkpoints"]
    early = next(point for point in checkpoints if point["next"] == "draw" and point["stage"] == "fair")
    assert origin("fork", f"origin@{early['checkpoint']}", "branch", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    shared = history("branch").records
    assert told["records"] == len(shared) < len(history("origin").records)
    settings = tmp_path / "runs" / "branch" / "settings.toml"
    assert main(["--config", str(settings)]) == 0
    assert [record.candidate_id for record in history("branch").records] == [
        record.candidate_id for record in history("origin").records
    ]
    assert not list((tmp_path / "runs").glob(".fork-*"))


def test_a_fork_of_the_end_goes_on_with_more(origin, history, tmp_path, capsys):
    assert origin("fork", "origin", "longer one", "--archs", "6") == 0
    settings = str(tmp_path / "runs" / "longer one" / "settings.toml")
    assert capsys.readouterr().out.endswith(f"\n  python -m graphs.search --config '{settings}'\n")
    assert main(["--config", settings]) == 0
    assert (len(history("longer one").trained), len(history("origin").trained)) == (6, 4)


def test_what_cannot_be_forked_is_told_in_one_line_and_leaves_nothing(origin, tmp_path, capsys):
    cases = [
        (("fork", "origin@nothing", "branch"), "has no checkpoint nothing"),
        (("fork", "nowhere", "branch"), "there is no run nowhere"),
        (("fork", "origin", "origin"), "exists already: choose another name for the new run"),
        (("fork", "origin", "branch", "--seed", "5"), "keeps its settings: --seed (was 0, now 5)"),
        (("fork", "origin", "branch", "--archss", "5"), "unknown flag --archss"),
        (("fork",), "the following arguments are required: RUN[@CHECKPOINT]"),
    ]
    for words, message in cases:
        capsys.readouterr()
        assert origin(*words) == 2, words
        error = capsys.readouterr().err
        assert message in error
        assert len(error.splitlines()) == 1
    assert {path.name for path in (tmp_path / "runs").iterdir() if not path.name.startswith(".")} == {"origin"}


def test_a_run_that_has_lost_its_checkpoints_goes_on_from_its_history_alone(flags, history, tmp_path):
    with ScriptedServer(lively) as model:
        told = {**SMALL, "llm.model": "m", "llm.base_url": model.url}
        assert main(flags(**told, run="lost")) == 0
        num_requests = model.num_requests
        for file in (tmp_path / "runs" / "lost").glob("checkpoints.sqlite*"):
            file.unlink()
        assert main(flags(**told, run="lost")) == 0
        assert model.num_requests == num_requests, "what is recorded is not asked again"
        assert main(flags(**{**told, "archs": 7}, run="lost")) == 0
        assert main(flags(**{**told, "archs": 7}, run="whole")) == 0
    assert [outcome(record) for record in history("lost").records] == [
        outcome(record) for record in history("whole").records
    ]


def outcome(record):
    accuracy = record.evaluation and record.evaluation.accuracy
    return record.candidate_id, record.parent_id, record.idea, record.source, accuracy
