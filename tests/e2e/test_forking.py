"""A second future of a search: what it shares, what it refuses, and that the same past leads on."""

from __future__ import annotations

import json

import pytest

from fairnad.records.history import History
from graphs.cli.search_command import main
from tests.e2e.conftest import records, search_flags
from tests.e2e.scripts import lively
from tests.openai_server import ScriptedServer

SMALL = {"archs": 4, "search.initial": 2, "search.fair": 2, "search.pareto": 1, "search.refine": 1}


@pytest.fixture(scope="module")
def runs(pack, tmp_path_factory):
    """The folder with a finished search named origin, which all tests fork; its language model answers on."""
    folder = tmp_path_factory.mktemp("runs")
    with ScriptedServer(lively) as model:
        settings = {**SMALL, "llm.model": "m", "llm.base_url": model.url, "run": "origin"}
        assert main(search_flags({"pack": pack, "runs": folder, **settings})) == 0
        yield folder


def command(runs, *words):
    """The exit status of a command on a run in that folder."""
    return main([*words, "--runs", str(runs)])


def history_of(runs, name):
    return History(records(runs / name))


def test_a_fork_goes_on_as_its_origin_did_where_nothing_was_changed(runs, capsys):
    capsys.readouterr()
    assert command(runs, "fork", "origin", "--json") == 0
    checkpoints = json.loads(capsys.readouterr().out)["checkpoints"]
    early = next(point for point in checkpoints if point["next"] == "fair" and point["stage"] == "fair")
    assert command(runs, "fork", f"origin@{early['checkpoint']}", "branch", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    shared = history_of(runs, "branch").records
    assert told["records"] == len(shared) < len(history_of(runs, "origin").records)
    settings = runs / "branch" / "settings.toml"
    assert main(["--config", str(settings)]) == 0
    assert [record.candidate_id for record in history_of(runs, "branch").records] == [
        record.candidate_id for record in history_of(runs, "origin").records
    ]
    assert not list(runs.glob(".fork-*"))


def test_a_fork_of_the_end_goes_on_with_more(runs, capsys):
    assert command(runs, "fork", "origin", "longer one", "--archs", "6") == 0
    settings = str(runs / "longer one" / "settings.toml")
    assert capsys.readouterr().out.endswith(f"\n  python -m graphs.search --config '{settings}'\n")
    assert main(["--config", settings]) == 0
    assert (len(history_of(runs, "longer one").trained), len(history_of(runs, "origin").trained)) == (6, 4)


def test_what_cannot_be_forked_is_told_in_one_line_and_leaves_nothing(runs, capsys):
    cases = [
        (("fork", "origin@nothing", "other"), "has no checkpoint nothing"),
        (("fork", "nowhere", "other"), "there is no run nowhere"),
        (("fork", "origin", "origin"), "exists already: choose another name for the new run"),
        (("fork", "origin", "other", "--seed", "5"), "keeps its settings: --seed (was 0, now 5)"),
        (("fork", "origin", "other", "--archss", "5"), "unknown flag --archss"),
        (("fork",), "the following arguments are required: RUN[@CHECKPOINT]"),
    ]
    before = set(runs.iterdir())
    for words, message in cases:
        capsys.readouterr()
        assert command(runs, *words) == 2, words
        error = capsys.readouterr().err
        assert message in error
        assert len(error.splitlines()) == 1
    assert set(runs.iterdir()) == before


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
