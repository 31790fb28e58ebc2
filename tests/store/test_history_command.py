"""What 'python -m store.history_store' prints."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from fairnad.records.candidate import Call, Evaluation, FailureKind
from fairnad.records.draw_decisions import NO_DECISIONS, DrawDecisions
from fairnad.records.history import Record, Repair
from store.history_store import SqliteHistory


def print_history(root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "store.history_store", *map(str, arguments)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.fixture
def run(tmp_path: Path, make_record: Callable[..., Record]) -> Path:
    history = SqliteHistory(tmp_path / "history.sqlite")
    call = Call("mutator", "m", 10, 20, 1.5, True)
    history.add_record(make_record(1, calls=(call,), seconds=9.0, num_debugs=1))
    history.add_record(make_record(0, trained=False, num_downscales=4, duplicate_of="g00-base-r1-s00-d0"))
    history.close()
    return tmp_path


def test_every_record_is_printed_as_one_json_object_with_stable_keys(run: Path, root: Path) -> None:
    done = print_history(root, run, "--jsonl")
    failed, trained = map(json.loads, done.stdout.splitlines())
    assert list(trained) == [
        "candidate_id", "generation", "stage", "round", "slot", "draw", "parent_id", "idea", "note", "accuracy",
        "costs", "failure", "duplicate_of", "num_debugs", "num_downscales", "repairs", "choices", "num_edits", "calls",
        "seconds",
        "fingerprint", "recipe_digest", "train_loss", "curve", "train_seconds", "isolation", "findings", "source",
    ]  # fmt: skip
    assert trained["candidate_id"] == "g01-fair-r1-s01-d0"
    assert (trained["generation"], trained["stage"], trained["slot"]) == (1, "fair", 1)
    assert trained["curve"] == []
    assert (trained["accuracy"], trained["costs"]) == (0.5, {"params": 1e6, "flops": 2e8})
    assert trained["idea"]["tag"]["granularity"] == "operation"
    assert trained["idea"]["source"] == {"title": "GELUs", "year": 2016, "link": "", "section": ""}
    assert trained["calls"][0]["output_tokens"] == 20
    assert (trained["num_debugs"], trained["seconds"], trained["failure"]) == (1, 9.0, None)
    assert (failed["accuracy"], failed["costs"], failed["fingerprint"]) == (None, {}, None)
    assert failed["failure"] == {
        "step": "execute", "kind": "shape", "message": "8 is not 16", "log_tail": "Traceback",
        "shape_trace": "",
    }  # fmt: skip
    assert (failed["num_downscales"], failed["duplicate_of"]) == (4, "g00-base-r1-s00-d0")


def test_what_was_chosen_and_repaired_can_be_read_back_from_a_line(
    tmp_path: Path, root: Path, make_record: Callable[..., Record]
) -> None:
    choices = DrawDecisions("qwen", "edit", ("shape", "memory"), ("A gate: +1.2 points",))
    repairs = (Repair(FailureKind.SHAPE, 1, False, 2), Repair(FailureKind.RUNTIME, 2, True))
    history = SqliteHistory(tmp_path / "history.sqlite")
    history.add_record(make_record(0))
    history.add_record(make_record(1, choices=choices, repairs=repairs, num_debugs=2))
    history.close()
    plain_line, line = map(json.loads, print_history(root, tmp_path, "--jsonl").stdout.splitlines())
    assert TypeAdapter(DrawDecisions).validate_python(line["choices"]) == choices
    assert TypeAdapter(tuple[Repair, ...]).validate_python(line["repairs"]) == repairs
    assert (plain_line["repairs"], TypeAdapter(DrawDecisions).validate_python(plain_line["choices"])) == (
        [],
        NO_DECISIONS,
    )


def test_a_number_json_does_not_know_is_printed_as_null(
    path: Path, root: Path, make_record: Callable[..., Record]
) -> None:
    record = make_record()
    evaluation = Evaluation(0.1, "d", {"params": 1.0}, "f", (2.0, float("nan"), float("inf")))
    history = SqliteHistory(path)
    history.add_record(Record(record.candidate_id, "", record.idea, "", evaluation))
    history.close()
    line = print_history(root, path.parent, "--jsonl").stdout
    assert json.loads(line, parse_constant=pytest.fail)["train_loss"] == [2.0, None, None]


def test_the_table_has_one_line_a_record(run: Path, root: Path) -> None:
    heading, failed, trained = print_history(root, run).stdout.splitlines()
    assert heading.split() == ["candidate", "accuracy", "params", "flops", "outcome"]
    assert failed.split()[:4] == ["g01-fair-r1-s00-d0", "-", "-", "-"]
    assert failed.endswith("execute: shape: 8 is not 16")
    assert trained.split()[:4] == ["g01-fair-r1-s01-d0", "50.00%", "1,000,000", "200,000,000"]
    assert trained.endswith("Replace every ReLU by GELU.")


def test_a_wrong_folder_is_one_line_and_exit_status_2(tmp_path: Path, root: Path) -> None:
    done = print_history(root, tmp_path, "--jsonl")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: expected a run folder, found no history.sqlite in {tmp_path}\n"
    assert print_history(root, tmp_path / "missing").returncode == 2


def test_a_reader_that_goes_away_early_ends_the_output_quietly(
    path: Path, root: Path, make_record: Callable[..., Record]
) -> None:
    history = SqliteHistory(path)
    for slot in range(60):
        history.add_record(make_record(slot, source="x" * 10_000))
    history.close()
    command = f"{sys.executable} -m store.history_store {path.parent} --jsonl | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=root, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["slot"] == 0
