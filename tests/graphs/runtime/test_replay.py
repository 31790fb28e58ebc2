"""Which calls are replayed, by which model, and who cannot replay any."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fairnad.errors import ReplayError, SettingsError
from fairnad.settings.search_settings import RunContext
from graphs.cli.chat_command import main as chat
from graphs.cli.knowledge_command import main as knowledge
from graphs.cli.search_command import main, parse
from graphs.runtime.replay import check_replay
from store.run_folder import RunFolder
from tests.graphs.runtime.recorded_calls import write_calls

SEVERAL = [{"model": "a", "weight": 3.0, "base_url": "http://a/v1"}, {"name": "large", "model": "b"}]


@pytest.fixture
def recorded(runs: Path) -> Callable[..., str]:
    """Makes a run that asked the models of its settings, and gives its name."""

    def make(name: str = "recorded", **llm: object) -> str:
        RunFolder.open(RunContext.model_validate({"run": name, "runs": str(runs), "llm": llm})).close()
        write_calls(runs / name, ["a"])
        return name

    return make


def replaying(runs: Path, replay: str | Path, *more: str) -> RunContext:
    return parse(["--runs", str(runs), "--run", "again", "--llm.replay", str(replay), *more])


def test_several_models_are_replayed_as_they_were_chosen_among(recorded, runs):
    context = replaying(runs, recorded(models=SEVERAL, temperature=0.3, choice="bandit"))
    check_replay(context)
    assert [(entry.title, entry.weight, entry.temperature) for entry in context.llm.models] == [
        ("a", 3.0, 0.3),
        ("large", 1.0, 0.3),
    ]
    assert context.llm.choice == "bandit"


def test_models_that_are_given_take_the_place_of_the_recorded_ones(recorded, runs):
    name = recorded(model="a", max_tokens=640)
    given = replaying(runs, name, "--llm.models", json.dumps(SEVERAL))
    assert (given.llm.title, given.llm.models[0].max_tokens) == ("a, large", 640)
    assert replaying(runs, recorded("several", models=SEVERAL), "--llm.model", "other").llm.title == "other"


def test_a_log_alone_names_its_model_where_it_is_one(runs, tmp_path):
    context = replaying(runs, write_calls(tmp_path / "log", ["a", "a"]))
    assert (context.llm.title, context.llm.models[0].temperature) == ("a", 0.2)
    several = write_calls(tmp_path / "log", ["b", "a"])
    with pytest.raises(ReplayError, match=r"llm.jsonl holds calls of a, b, but the settings.toml of their run"):
        replaying(runs, several)
    assert replaying(runs, several, "--llm.models", json.dumps(SEVERAL)).llm.title == "a, large"
    with pytest.raises(ReplayError, match=r"llm.jsonl: expected recorded calls, found none$"):
        replaying(runs, write_calls(tmp_path / "log", []))


def test_a_recording_that_is_not_there_is_one_line(runs, capsys):
    assert main(["--runs", str(runs), "--llm.replay", "nowhere"]) == 2
    line = f"error: --llm.replay: expected a run in {runs}, a run folder or a llm.jsonl, found none at 'nowhere'\n"
    assert capsys.readouterr().err == line


def test_settings_that_name_no_model_are_refused(runs):
    context = RunContext.model_validate({"llm": {"replay": "x"}})
    with pytest.raises(SettingsError, match=r"^--llm.replay needs the recorded model: set --llm.model or --llm"):
        check_replay(context)
    check_replay(RunContext.model_validate({"llm": {"replay": "x", "models": SEVERAL}}))


@pytest.mark.parametrize("command", ["build", "structure", "filter"])
def test_nothing_but_a_search_is_replayed(command, recorded, runs, tmp_path, capsys):
    refused = "error: --llm.replay works only for a search: omit it here\n"
    papers = tmp_path / "papers.jsonl"
    papers.write_text("")
    sources = [] if command == "structure" else [str(papers)]
    assert knowledge([command, *sources, "--out", str(tmp_path / "out"), "--llm.replay", "x"]) == 2
    assert capsys.readouterr().err == refused
    assert not (tmp_path / "out").exists()
    assert chat(["who is best?", "--runs", str(runs), "--llm.replay", recorded(model="a")]) == 2
    assert capsys.readouterr().err == refused
