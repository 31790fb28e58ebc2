"""A search starts from its base widened to the limits, and the finals name that base the control."""

import asyncio
import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from graphs.cli.runner import run
from graphs.cli.search_command import main, parse
from graphs.search.forking import fork_run, list_checkpoints
from tests.e2e.conftest import search_flags
from tests.e2e.tiny_pack import TASKS, write_pack


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A search by the built-in designer on the tiny task, whose base is to be widened."""
    folder = tmp_path_factory.mktemp("control")
    pack = write_pack(folder / "tiny")
    (pack / "tasks.toml").write_text(TASKS + "scale_base = true\n")
    settings = {"pack": pack, "runs": folder / "runs", "agents.mode": "best", "epochs": 3}
    return search_flags({**settings, "archs": 2, "search.initial": 2, "search.confirm_seeds": 2})


@pytest.fixture(scope="module")
def finished(flags: list[str]) -> str:
    """What the search printed."""
    output = StringIO()
    with redirect_stdout(output):
        assert run(parse(flags)) == 0
    return output.getvalue()


def said(arguments: list[str]) -> str:
    output = StringIO()
    with redirect_stdout(output):
        assert main(arguments) == 0
    return output.getvalue()


def test_the_plan_says_what_is_widened_before_anything_is_written(flags: list[str]) -> None:
    plan = json.loads(said([*flags, "--run", "planned", "--dry-run", "--json"]))
    assert plan["base"]["scaling"].startswith("widths ")
    assert 0.8 <= max(plan["base"]["shares"].values()) <= 0.95
    assert "It is the control." in said([*flags, "--run", "planned", "--dry-run"])


def test_the_search_starts_from_the_widened_base_and_compares_with_it(finished: str, flags: list[str]) -> None:
    assert "Base: widened to the limits before the search, widths " in finished
    assert finished.split("seed 0\n")[1].split()[0] == "control"
    assert "control" in finished.split("winner: ")[1]

    runs = flags[flags.index("--runs") + 1]
    folder = Path(runs) / "test"
    card = (folder / "result" / "model_card.md").read_text()
    assert ", the control |" in card
    assert "the control" in card.split("## Costs")[0]
    assert ">control" in (folder / "report.html").read_text()
    best = json.loads(said(["best", "--runs", runs, "--run", "test", "--json"]))
    assert best["comparison"]["with"] == "control"
    assert "plan" not in best


def test_the_last_event_holds_the_control(finished: str, flags: list[str]) -> None:
    events = [json.loads(line) for line in said([*flags, "--json"]).splitlines()]
    assert events[0]["base"]["scaling"].startswith("widths ")
    last = events[-1]
    assert last["control"] == last["base"]
    assert last["control"]["costs"]["params"] >= 0.8 * 2500
    assert len(last["control"]["held_out"]) == 2
    assert last["comparison"]["with"] == "control"


def test_a_dry_run_of_a_run_that_goes_on_shows_its_own_base(finished: str, flags: list[str]) -> None:
    first, again = (json.loads(said([*flags, "--run", name, "--dry-run", "--json"])) for name in ("planned", "test"))
    assert first["base"] == again["base"]


def test_a_fork_keeps_the_control(finished: str, flags: list[str]) -> None:
    folder = Path(flags[flags.index("--runs") + 1]) / "test"
    points = asyncio.run(list_checkpoints(folder))
    point = next(one["checkpoint"] for one in points if one["next"] == "promote")
    asyncio.run(fork_run(folder, point, parse([*flags, "--run", "other"])))
    last = json.loads(said([*flags, "--run", "other", "--json"]).splitlines()[-1])
    assert last["control"] is not None
    assert last["control"] == last["base"]
