"""Ways a search speaks, the plan it tells beforehand, and the questions that can be asked while it runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from graphs.cli.search_command import main, parse
from store.run_folder import SETTINGS_NAME
from tests.e2e.killing import Endless, wait_for
from tests.e2e.networks import BROKEN, UNJAILED, costs, network
from tests.e2e.scripts import lively
from tests.openai_server import Reply, ScriptedServer
from tools.sandbox.isolation import Level

Flags = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("FAIRNAD_")]:
        monkeypatch.delenv(name)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lines_of_a_search(output: str) -> list[str]:
    """What a search says, without the line that opening it takes long."""
    return [line for line in output.splitlines() if not line.startswith("opening the run: ")]


def test_events_of_a_search_and_its_result_alone(flags: Flags, capsys, tmp_path):
    with ScriptedServer(lively) as server:
        told = flags(**{"llm.model": "scripted", "llm.base_url": server.url, "archs": 3, "search.confirm_seeds": 1})
        assert main([*told, "--json"]) == 0
        everything = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        doing = {event["doing"] for event in everything if event["event"] == "progress"}
        assert doing >= {"train", "retrain", "hold out", "write"}
        finals = [event["num_done"] for event in everything if event.get("doing") == "retrain"]
        assert (finals[0], finals[-1]) == (0, 3 + 1), "it is counted how much of the finals is done"
        events = [event for event in everything if event["event"] != "progress"]
        names = [event["event"] for event in events]
        assert names[:3] == ["start", "record", "forecast"]
        assert (names[-1], set(names[3:-1])) == ("finish", {"record"})
        assert events[0]["designers"] == dict.fromkeys(events[0]["designers"], "scripted")
        trainings = events[2]["num_trainings"]
        assert (trainings, events[2]["num_slots"]) == (3 + (3 + 1), 2), "three finalists and the base"
        finish = events[-1]
        assert (finish["outcome"], finish["num_trained"]) == ("finished", 3)
        assert len(finish["winner"]["held_out"]) == 1
        settings = (tmp_path / "runs" / "test" / SETTINGS_NAME).read_text()
        assert not {"json", "quiet", "dry"} & set(settings.split()), "how a search speaks is no setting of the run"

        assert main([*told, "--quiet"]) == 0
        output = capsys.readouterr()
        lines = output.out.strip().splitlines()
        assert lines[0] == "digits, seed 0"
        assert any(line.startswith("result: ") for line in lines)
        assert any(line.startswith("3 trained of ") for line in lines)
        assert "FairNAD" not in output.out + output.err
        assert main(told) == 0
        designers, task, isolation, resuming = lines_of_a_search(capsys.readouterr().out)[:4]
        assert designers == (
            "FairNAD: mutator: scripted; idea mutator: scripted; debugger: scripted; downscaler: scripted; "
            "structural judge: scripted"
        )
        assert task.startswith("Task digits: ")
        assert isolation == f"Isolation {events[0]['isolation']}: {Level(events[0]['isolation']).layers}."
        assert resuming.startswith("resuming: 3 of 3 candidates are trained; the run is finished")


@pytest.mark.parametrize(
    ("flag", "number", "error"),
    [("--json", signal.SIGTERM, ""), ("--quiet", signal.SIGHUP, "stopped; nothing is lost")],
)
def test_a_running_search_can_be_asked_and_when_stopped_says_so(flags: Flags, tmp_path, capsys, flag, number, error):
    began = tmp_path / "began"
    with ScriptedServer(Endless(began)) as server:
        told = flags(**{**UNJAILED, "llm.model": "scripted", "llm.base_url": server.url, "grace_seconds": 0.1})
        command = [sys.executable, "-m", "graphs.search", *told, flag]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for(began)
        here = ["--runs", str(tmp_path / "runs"), "--json"]
        assert main(["runs", *here]) == 0
        assert main(["show", "initial", *here]) == 0
        assert main(["best", *here]) == 0
        runs, shown, best = (json.loads(line) for line in capsys.readouterr().out.splitlines())
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert runs["runs"][0]["state"] == best["state"] == "running"
    assert (shown["is_recorded"], shown["steps"][0]["step"]) == (False, "draw 1")
    assert "class Network" in shown["source"]
    assert best["lineage"][0]["candidate_id"] == "g00-base-r1-s00-d0"
    assert error in errors
    if flag == "--json":
        stop = json.loads(output.splitlines()[-1])
        assert (stop["event"], stop["signal"], stop["num_trained"]) == ("stop", 15, 0)
    else:
        assert output == ""


def test_a_search_tells_its_forecast_in_the_log(flags: Flags, capsys):
    with ScriptedServer(lively) as server:
        assert main(flags(**{"llm.model": "scripted", "llm.base_url": server.url})) == 0
    lines = lines_of_a_search(capsys.readouterr().out)
    assert lines[1].startswith("Task digits: ")
    assert lines[2].startswith("Isolation ")
    assert lines[3].split()[:2] == ["0/1", "g00-base-r1-s00-d0"]
    assert lines[4].startswith("forecast: about ")
    assert " for 1 training on 2 slots" in lines[4]


def test_a_dry_run_tells_the_plan_and_leaves_nothing(flags: Flags, capsys, tmp_path):
    with ScriptedServer(lambda request: Reply("never asked")) as server:
        settings = {"llm.model": "m", "llm.base_url": server.url, "archs": 20, "search.confirm_seeds": 2}
        told = flags(**settings, **{"llm.price_input": 2, "llm.price_output": 10})
        before = contents(tmp_path)
        assert main([*told, "--dry-run"]) == 0
        text = capsys.readouterr().out
        assert main([*told, "--dry-run", "--json"]) == 0
        plan = json.loads(capsys.readouterr().out)
        assert main([*flags(**settings), "--dry-run", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["usd"] is None, "without a price nothing can be told"
        assert main([*flags(**settings, **{"limit.usd": 3}), "--dry-run"]) == 2
        assert capsys.readouterr().err.startswith(
            "error: --limit.usd 3 needs the price of every model, but none is known for m"
        )
        assert server.num_requests == 0
    assert contents(tmp_path) == before
    assert not (tmp_path / "runs").exists()
    assert "plan of a search; nothing is started or written\n" in text
    assert f"{costs():,} params, 60% of the limit of 2.5k" in text
    assert "trainings  29: 1 base + 20 candidates + 8 for the finals" in text
    assert plan["task"] == {
        "name": "digits",
        "num_train": 60,
        "num_validation": 200,
        "num_classes": 10,
        "image_size": 8,
    }
    assert plan["base"]["costs"]["params"] == costs()
    assert plan["trainings"] == {"base": 1, "candidates": 20, "promotions": 0, "finals": 8}
    assert (plan["num_generations"], plan["most_draws"]) == (1, 80)
    assert [leg["num_trained"] for leg in plan["legs"]] == [1, 8, 8, 3]
    assert plan["warnings"] == []
    assert {estimate["role"]: estimate["most_calls"] for estimate in plan["calls"]} == {
        "mutator": 68,
        "idea_mutator": 12,
        "debugger": 160,
        "downscaler": 320,
        "structural_judge": 80,
    }
    calls = plan["calls"]
    least = sum(2 * one["least_input_tokens"] + 10 * one["least_output_tokens"] for one in calls) / 1e6
    most = sum(2 * one["most_input_tokens"] + 10 * one["most_output_tokens"] for one in calls) / 1e6
    assert plan["usd"] == {"least": pytest.approx(least), "most": pytest.approx(most)}
    assert f"cost: {least:.2f} – {most:.2f} USD at the highest price of all models\n" in text


def test_a_dry_run_of_a_run_that_has_begun_plans_what_is_left_and_refuses_what_the_search_would(flags: Flags, capsys):
    with ScriptedServer(lively) as server:
        told = {"llm.model": "scripted", "llm.base_url": server.url}
        assert main(flags(**told)) == 0
        capsys.readouterr()
        assert main([*flags(**told, archs=3), "--dry-run", "--json"]) == 0
        plan = json.loads(capsys.readouterr().out)
        assert (plan["num_trained"], plan["trainings"]["base"], plan["trainings"]["candidates"]) == (1, 0, 2)
        assert main([*flags(**told, seed=7), "--dry-run"]) == 2
        assert "was started with other settings: --seed (was 0, now 7)" in capsys.readouterr().err
        assert main([*flags(**told, epochs=2), "--dry-run"]) == 2
        assert "--epochs (was 1, now 2)" in capsys.readouterr().err


def test_a_dry_run_refuses_a_base_that_does_not_run(flags: Flags, capsys, tmp_path):
    base = tmp_path / "base.py"
    base.write_text(BROKEN)
    assert main([*flags(base=base), "--dry-run"]) == 2
    assert capsys.readouterr().err.startswith("error: the base model cannot be used: execute: ")


def test_a_base_over_its_limits_is_planned_to_be_brought_under_them(flags: Flags, capsys, tmp_path):
    base = tmp_path / "base.py"
    base.write_text(network(width=30))
    assert main([*flags(base=base, max_params=100), "--dry-run"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "over budget: first reduced to the limits, in at most 4 downscales" in text
    assert (
        "warning --archs 1 ends before these stages begin (after trained candidates): stage I after 1, "
        "stage II after 9, stage III after 17; --archs 18 reaches all of them"
    ) in text
    assert re.search(
        r"warning the limit of 100 params is [\d.]+% of the base's cost \(\S+\): downscaling rarely ", text
    )
    assert "no language model: no calls, no tokens" in text


def test_how_a_search_speaks_does_not_change_its_settings():
    assert parse(["--json"]) == parse(["--quiet"]) == parse(["--dry-run"]) == parse([])
