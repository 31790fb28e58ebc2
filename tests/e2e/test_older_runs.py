"""Runs of an earlier version: they open, report, export, fork and answer questions, and unfinished ones resume."""

import json
import tarfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from graphs.cli import chat_command, report_command, search_command
from store import history_store

ARCHIVES = Path("tests/older_runs")


def unpack(name: str, folder: Path) -> Path:
    with tarfile.open(ARCHIVES / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / name


def printed(arguments: Sequence[str], main=search_command.main) -> str:
    output = StringIO()
    with redirect_stdout(output):
        assert main([*arguments]) == 0
    return output.getvalue()


def test_a_finished_run_opens(tmp_path: Path) -> None:
    folder = unpack("finished", tmp_path)
    run = ["--runs", str(tmp_path), "--run", "finished"]
    records = [json.loads(line) for line in printed([str(folder), "--jsonl"], history_store.main).splitlines()]
    assert sum(record["accuracy"] is not None for record in records) >= 3
    assert json.loads(printed(["best", *run, "--json"]))["candidate_id"]
    assert json.loads(printed(["show", "base", *run, "--json"]))["is_recorded"]
    first, second = (record["candidate_id"] for record in records[:2])
    assert json.loads(printed(["diff", first, second, *run, "--json"]))["diff"]
    assert "finished" in printed(["runs", "--runs", str(tmp_path)])
    assert Path(printed([str(folder)], report_command.main).strip()).is_file()
    assert "records of" in printed(["fork", "finished", "branch", "--runs", str(tmp_path)])
    answer = printed(["which candidate is the best?", "--runs", str(tmp_path), "--run", "finished"], chat_command.main)
    assert "accuracy" in answer


@pytest.mark.parametrize("name", ["unfinished", "steady"])
def test_an_unfinished_run_resumes(name: str, tmp_path: Path) -> None:
    folder = unpack(name, tmp_path)
    before = history_store.read_history(folder)
    result = json.loads(printed(["--runs", str(tmp_path), "--run", name, "--json"]).splitlines()[-1])
    after = history_store.read_history(folder)
    assert result["outcome"] == "finished"
    assert after.records[: len(before.records)] == before.records, "nothing is lost or made again"
    assert len(after.trained) == 5
