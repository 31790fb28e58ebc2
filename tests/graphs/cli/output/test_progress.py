"""What a search tells while it runs: people at a terminal, readers of a log, programs."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from fairnad.domain.budget import Budget
from fairnad.domain.recipe import RECIPES
from fairnad.records.candidate import plain
from fairnad.records.history import History
from fairnad.settings.search_settings import RunContext
from graphs.cli.arguments import Presentation
from graphs.cli.output import progress as telling
from graphs.cli.output.events import JsonEvents
from graphs.cli.output.progress import Progress, Quiet, follow
from graphs.cli.output.summary import facts, print_summary
from graphs.runtime.base_scaling import Base
from tests.graphs.conftest import BASE, BEST, DUPLICATE, FAILED, FINALS, PARENT, made_records

GOLDEN = Path(__file__).parent / "golden"
RECORDS = made_records()
FINISHED = {
    "outcome": "finished",
    "rungs": [{"recipe": "quick", "digest": "24455aa1c67d", "num_trained": 2}],
    "finals": plain(FINALS),
    "result": {"folder": "runs/made/result", "trial": "best.py was tried out", "onnx": "best.onnx takes any number"},
}
STALLED = {"outcome": "stalled", "finals": None, "num_failed_in_row": 1}


@pytest.fixture
def services(tmp_path):
    """The services that the output reads."""
    budgets = [Budget("params", "parameters", 45_000.0), Budget("flops", "multiply-adds an image", 1_800_000.0)]
    context = RunContext(run="made", runs=str(tmp_path), archs=4)
    folder, lab = SimpleNamespace(path=Path("runs/made")), SimpleNamespace(num_slots=2, isolation="C")
    task = SimpleNamespace(held_out_is_open=True)
    base = Base("source", "widths 4 → 8", {"params": 0.9, "flops": 0.8})
    return SimpleNamespace(
        base=base, context=context, budgets=budgets, folder=folder, lab=lab, task=task, recipes=[RECIPES["quick"]]
    )


def progress(doing, num_done, num_all, seconds_left=None, running=(), queued=()):
    """An event of a ticker whose running pieces are 4 of 9 seconds old."""
    running = [piece | {"elapsed_seconds": 4.0, "expected_seconds": 9.0} for piece in running]
    queued = [piece | {"elapsed_seconds": 4.0, "expected_seconds": 9.0} for piece in queued]
    return {
        "doing": doing,
        "num_done": num_done,
        "num_all": num_all,
        "seconds_left": seconds_left,
        "running": running,
        "queued": queued,
    }


def retraining(num_done):
    """The finals after so many of their 9 trainings on two slots."""
    pieces = [{"candidate_id": name, "seed": seed} for name in (BEST, PARENT, BASE) for seed in (1, 2, 3)][num_done:]
    return progress("retrain", num_done, 9, 4.5 * (9 - num_done), pieces[:2], pieces[2:])


class Terminal(io.StringIO):
    def isatty(self):
        return True


def tell_everything(follower):
    """A whole search, told to who follows it."""
    with follower as told:
        for record in RECORDS:
            told.task({"name": "train", "input": {"candidate_id": record.candidate_id}})
            told.recorded(record)
        told.task({"name": "promote", "input": {}})
        told.task({"name": "retrain", "input": {}})
        for num_done in (0, 0, 2, 9, 9):
            told.working(retraining(num_done))
        for num_done in (0, 4):
            told.working(progress("hold out", num_done, 4))
        told.task({"name": "finish", "input": {}})
        told.working(progress("write", 0, 1, running=[{"file": "best.onnx"}]))
        told.working(progress("write", 1, 1))
        told.stopping(20.0)
        told.stopped(15, Path("runs/made"))
    told.finished(History(RECORDS), FINISHED)


def without_times(text):
    return re.sub(r"  \d+s left", "  TIME left", text)


def test_a_log(services, golden, capsys):
    tell_everything(Progress(services, History()))
    golden(GOLDEN / "log.txt", without_times(capsys.readouterr().out))


def test_a_log_of_a_run_that_is_resumed(services, capsys):
    with Progress(services, History(RECORDS[:2])):
        pass
    assert capsys.readouterr().out.splitlines() == [
        "resuming: 1 of 4 candidates are trained",
        "forecast: about 2 min for 15 trainings on 2 slots, up to 7 min at the limits",
    ]


def test_a_run_that_has_more_than_it_is_asked_for_says_so(services, capsys):
    services.context = services.context.model_copy(update={"archs": 1})
    services.folder.history = SimpleNamespace(status=lambda: "stalled")
    with Progress(services, History(RECORDS)):
        pass
    first, *_ = capsys.readouterr().out.splitlines()
    assert first == "resuming: 2 candidates are trained, --archs 1 needs no more"


def test_a_run_that_is_finished_says_so_and_trains_nothing_again(services, capsys):
    services.context = services.context.model_copy(update={"archs": 2})
    services.folder.history = SimpleNamespace(status=lambda: "finished")
    with Progress(services, History(RECORDS)) as shown:
        for step in ("promote", "retrain", "finish"):
            shown.task({"name": step, "input": {}})
    assert capsys.readouterr().out.splitlines() == [
        "resuming: 2 of 2 candidates are trained; the run is finished, a higher --archs continues it"
    ]


def test_the_result_alone(services, golden, capsys):
    tell_everything(follow(services, History(), Presentation(quiet=True)))
    output = capsys.readouterr()
    golden(GOLDEN / "result.txt", output.out)
    assert output.err == "stopped; nothing is lost. Run the same command again to resume runs/made\n"


def test_a_search_that_ended_early_says_why(services, capsys):
    Quiet(services).finished(History(RECORDS[:3]), STALLED)
    first, message, advice, *_ = capsys.readouterr().out.splitlines()
    assert first == (
        "stopped: no candidate trained in the last 1 draw; the commonest failure is execute: shape (1 of 2 draws)"
    )
    assert message.startswith("  last message: ")
    assert advice.startswith("  advice: a model that writes better code (--llm.model")


@pytest.mark.parametrize("columns", [40, 80, 140])
def test_at_a_terminal_no_line_is_longer_than_it_and_no_id_is_cut(services, columns):
    file = Terminal()
    console = Console(file=file, force_terminal=True, width=columns, color_system="standard", soft_wrap=True)
    with Progress(services, History(), console) as progress:
        for record in RECORDS:
            progress.task({"name": "train", "input": {"candidate_id": record.candidate_id}})
        shown = [line.rstrip() for line in rendered(progress, columns)]
        assert all(len(line) <= columns for line in shown)
        for record in RECORDS:
            assert any(record.candidate_id in line for line in shown)
            progress.recorded(record)
    print_summary(services, History(RECORDS), FINISHED, console)
    printed = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())
    if columns >= 80:
        assert "…" not in printed
        assert all(len(line) <= columns for line in printed.replace("\r", "\n").splitlines())


def rendered(progress, columns):
    console = Console(file=io.StringIO(), width=columns, force_terminal=True, color_system=None)
    console.print(progress._display())
    return console.file.getvalue().splitlines()


def test_the_display_has_the_count_the_best_and_what_is_under_way(services):
    progress = Progress(services, History(RECORDS[:4]), Console(file=Terminal(), force_terminal=True, width=80))
    for number in range(10):
        progress.task({"name": "mutate", "input": {"candidate_id": f"g01-pareto-r1-s{number:02d}-d0"}})
    head, *rows = rendered(progress, 80)
    assert re.search(r"2/4  best 0.9250  pass rate 0.67 \(n=3\)  \dm\d\ds left", head)
    assert "━" in head
    assert rows[0].split() == ["g01-pareto-r1-s00-d0", "mutate", "0s"]
    assert (len(rows), rows[-1].strip()) == (9, "and 2 more")


def test_a_training_that_waits_for_a_slot_is_shown_as_queued_below_those_that_run(services):
    shown = Progress(services, History(RECORDS[:1]), Console(file=Terminal(), force_terminal=True, width=80))
    for name in (PARENT, FAILED, BEST):
        shown.task({"name": "train", "input": {"candidate_id": name}})
    assert [row.split()[1] for row in rendered(shown, 80)[1:]] == ["queued"] * 3, "nothing has a slot yet"
    shown.working(progress("train", 0, 1, running=[{"candidate_id": BEST, "seed": 0}]))
    shown.working(progress("train", 0, 1, queued=[{"candidate_id": PARENT, "seed": 0}]))
    rows = [row.split() for row in rendered(shown, 80)[1:]]
    assert rows == [
        [BEST, "train", "4s", "of", "about", "9s"],
        [PARENT, "queued", "4s"],
        [FAILED, "queued", "0s"],
    ]


def test_the_display_shows_what_the_finals_run_and_the_time_left(services):
    shown = Progress(services, History(RECORDS), Console(file=Terminal(), force_terminal=True, width=80))
    shown.working(retraining(2))
    head, *rows = rendered(shown, 80)
    assert re.search(r"2/9  finals  3[12]s left", head)
    assert [row.split() for row in rows] == [
        [BEST, "seed", "3", "4s", "of", "about", "9s"],
        [PARENT, "seed", "1", "4s", "of", "about", "9s"],
        ["and", "5", "queued"],
    ]
    shown.working(progress("write", 0, 1, running=[{"file": "best.onnx"}]))
    head, row = rendered(shown, 80)
    assert "0/1  result" in head
    assert row.split()[0] == "best.onnx"
    shown.working(progress("write", 1, 1))
    assert len(rendered(shown, 80)) == 1


def test_a_log_gets_a_line_where_nothing_was_said_for_a_while(services, capsys, monkeypatch):
    monkeypatch.setattr(telling, "LOG_SECONDS", 0.0)
    with Progress(services, History()) as shown:
        shown.task({"name": "mutate", "input": {"candidate_id": PARENT}})
        shown.working(progress("train", 0, 1, running=[{"candidate_id": BEST, "seed": 0}]))
        shown.working(progress("write", 0, 1, running=[{"file": "best.onnx"}]))
        shown.working(progress("write", 1, 1))
    assert capsys.readouterr().out.splitlines() == [
        "  in progress: 1 mutate, 1 train",
        "  writing best.onnx, 4s",
        "  wrote best.onnx, 4s",
    ]


def test_a_log_names_the_file_that_was_written_while_nothing_was_said(services, capsys, monkeypatch):
    onnx, program = ({"file": name} for name in ("best.onnx", "best.py"))
    with Progress(services, History()) as shown:
        shown.working(progress("write", 0, 1, running=[onnx]))
        shown.working(progress("write", 1, 1))
        monkeypatch.setattr(telling, "LOG_SECONDS", 0.0)
        begun = progress("write", 0, 1, running=[program])
        begun["running"][0]["elapsed_seconds"] = 0.0
        shown.working(begun)
        shown.working(progress("write", 0, 1, running=[program]))
    assert capsys.readouterr().out.splitlines() == ["  wrote best.onnx, 4s", "  writing best.py, 4s"]


def test_a_new_best_stands_out_and_nothing_moves_in_ci(services, monkeypatch):
    monkeypatch.setenv("CI", "true")
    file = Terminal()
    console = Console(file=file, force_terminal=True, width=140, color_system="standard", soft_wrap=True)
    with Progress(services, History(), console) as progress:
        for record in RECORDS:
            progress.recorded(record)
    styled = {line[line.index("g0") :].split()[0]: line for line in file.getvalue().splitlines() if "g0" in line}
    assert [name for name, line in styled.items() if line.startswith("\x1b[1;32m")] == [BEST]
    assert styled[DUPLICATE].startswith("\x1b[2m")
    assert not re.search(r"\x1b\[\d*[A-HJKf]", file.getvalue()), "no cursor is moved"


def test_events(services, capsys):
    tell_everything(follow(services, History(), Presentation(json=True)))
    output = capsys.readouterr()
    assert output.err == ""
    events = [json.loads(line) for line in output.out.splitlines()]
    names = [event["event"] for event in events]
    progress_names = ["progress"] * 9
    records = ["record", "forecast", "record", "record", "record", "record"]
    assert names == ["start", *records, *progress_names, "stop", "finish"]
    told = next(event for event in events if event.get("doing") == "retrain" and event["num_done"] == 2)
    assert {key: value for key, value in told.items() if key not in ("event", "time")} == retraining(2)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", event["time"]) for event in events)
    start, base, ahead, *_, stop, finish = events
    assert (start["run"], start["archs"], start["num_trained"], start["num_slots"]) == ("made", 4, 0, 2)
    assert start["budgets"] == {"params": 45_000, "flops": 1_800_000}
    assert start["designers"]["mutator"] == "built-in"
    assert (base["record"]["candidate_id"], base["best_accuracy"], base["num_trained"]) == (BASE, 0.9, 0)
    assert "source" not in base["record"]
    assert (ahead["num_trainings"], ahead["seconds"]) == (16, 100.0)
    assert (stop["signal"], stop["num_trained"]) == (15, 2)
    assert {key: value for key, value in finish.items() if key not in ("event", "time")} == facts(
        services, History(RECORDS), FINISHED
    )


def test_the_facts_of_a_search(services):
    told = facts(services, History(RECORDS), FINISHED)
    assert (told["outcome"], told["num_trained"], told["num_drawn"]) == ("finished", 2, 4)
    assert (told["best"]["candidate_id"], told["best"]["held_out"]) == (BEST, [0.91, 0.93])
    assert told["pass_rate"] == {"value": 0.75, "num_draws": 4}
    assert told["failures"][0] == {"step": "execute", "kind": "shape", "count": 1}
    assert facts(services, History(), STALLED)["base"] is None


def test_a_resumed_run_tells_programs_what_it_has(services, capsys):
    with JsonEvents(services, History(RECORDS[:4])):
        pass
    start, ahead = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (start["num_trained"], ahead["event"], ahead["num_trainings"]) == (2, "forecast", 14)
