"""The history as a file: kills, other readers, full disks, other versions and damage."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairnad.errors import RunFolderError, StorageError
from fairnad.ports import CallKey
from fairnad.records.candidate import CandidateId, Stage
from fairnad.records.history import Record
from store.history_store import FILE_NAME, SCHEMA_VERSION, SqliteHistory

WRITER = """
import sys
from pathlib import Path
from typing import Any
from fairnad.records.candidate import Call, CandidateId, Evaluation, Stage
from fairnad.records.history import Record
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.ports import Answer, CallKey
from store.history_store import SqliteHistory

history = SqliteHistory(Path(sys.argv[1]))
call = Call("mutator", "m", 1, 1, 1.0, True)
print("open", flush=True)
for slot in range(int(sys.argv[2])):
    candidate_id = str(CandidateId(1, Stage.FAIR, 1, slot, 0))
    history.add_answer(CallKey(candidate_id, "mutator", 0, 0, ""), Answer(call, (), "x" * 5000, "stop"))
    print("answer", slot, flush=True)
    history.add_step(candidate_id, "train", 0, {"slot": slot})
    print("step", slot, flush=True)
    evaluation = Evaluation(0.5, "d", {"params": 1.0}, str(slot))
    history.add_record(Record(candidate_id, "p", Idea("", IdeaKind.NONE), "x" * 5000, evaluation))
    print("record", slot, flush=True)
"""


@pytest.mark.parametrize("num_lines", [1, 2, 3, 4, 20, 101, 360])
def test_kill_9_loses_nothing_that_was_stored_and_a_second_start_stores_nothing_twice(
    path: Path, start: Callable[..., Any], num_lines: int
) -> None:
    program = start(WRITER, path, 100_000)
    told = [*program.lines(num_lines), *program.kill()]
    assert told[0] == "open"
    history = SqliteHistory(path)
    slots = [record.place.slot for record in history.records()]
    assert slots == list(range(len(slots)))
    assert len(slots) >= sum(line.startswith("record") for line in told)
    for line in told[1:]:
        kind, slot = line.split()
        candidate_id = str(CandidateId(1, Stage.FAIR, 1, int(slot), 0))
        if kind == "answer":
            assert history.find_answer(CallKey(candidate_id, "mutator", 0, 0, "")) is not None
        if kind == "step":
            assert history.find_step(candidate_id, "train", 0) == {"slot": int(slot)}
    history.close()

    assert start(WRITER, path, len(slots) + 2).end() == 0
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for table in ("records", "steps", "calls"):
            ids = connection.execute(f"SELECT candidate_id FROM {table}").fetchall()
            assert len(ids) == len(set(ids)) == len(slots) + 2
    connection.close()


def test_a_run_that_another_process_writes_can_be_read(path: Path, start: Callable[..., Any]) -> None:
    writer = start(WRITER + "sys.stdin.read()", path, 5)
    writer.lines(16)
    reader = SqliteHistory(path, read_only=True)
    assert len(reader.records()) == 5
    with pytest.raises(StorageError, match="readonly"):
        reader.set_status("not mine")
    writer.kill()
    assert len(reader.records()) == 5
    reader.close()
    after_the_kill = SqliteHistory(path, read_only=True)
    assert len(after_the_kill.records()) == 5
    after_the_kill.close()


def test_a_run_on_a_medium_that_cannot_be_written_can_be_read(
    path: Path, root: Path, make_record: Callable[..., Record]
) -> None:
    history = SqliteHistory(path)
    history.add_record(make_record(3))
    history.close()
    folder = path.parent
    program = [sys.executable, "-m", "store.history_store", str(folder)]
    if os.geteuid() == 0:  # whom permissions do not stop
        mount = f"mount --bind '{folder}' '{folder}' && mount -o remount,ro,bind '{folder}' && exec \"$@\""
        program = ["unshare", "--mount", "sh", "-c", mount, "sh", *program]
        if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
            pytest.skip("no name space for a read-only mount")
    else:
        folder.chmod(0o555)
    done = subprocess.run(program, cwd=root, capture_output=True, text=True, check=False)
    folder.chmod(0o755)
    assert (done.returncode, done.stderr) == (0, "")
    assert "g01-fair-r1-s03-d0" in done.stdout


FULL_DISK = """
import resource, sys
from pathlib import Path
from typing import Any
from fairnad.errors import StorageError
from store.history_store import SqliteHistory

history = SqliteHistory(Path(sys.argv[1]))
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (900_000, hard))
stored = 0
try:
    while True:
        history.add_step("c", "train", stored, {"text": "x" * 3000})
        stored += 1
except StorageError as error:
    print(error)
assert [step.version for step in history.steps("c")] == list(range(stored))
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
history.add_step("c", "train", stored, {})
history.close()
print(stored + 1)
"""


def test_a_full_disk_is_one_line_and_loses_nothing(path: Path, start: Callable[..., Any]) -> None:
    program = start(FULL_DISK, path)
    line, num_steps = program.lines(2)
    assert program.end() == 0
    assert line.startswith(f"{path} must be readable and writable, but: ")
    assert line.endswith("free some space or fix the permissions, then run the same command again")
    history = SqliteHistory(path)
    assert len(history.steps("c")) == int(num_steps) > 20
    history.close()


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="unable to open database file"):
        SqliteHistory(tmp_path / "missing" / "history.sqlite")


def test_another_schema_version_names_both(path: Path) -> None:
    SqliteHistory(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '7' WHERE name = 'schema version'")
    connection.close()
    with pytest.raises(RunFolderError, match=f"has version 7, this program reads version {SCHEMA_VERSION}: choose"):
        SqliteHistory(path)


def test_a_file_that_is_no_database_is_told_and_left_alone(path: Path) -> None:
    path.write_text("my notes, " * 1000)
    with pytest.raises(RunFolderError, match="expected the history of a run, found file is not a database: "):
        SqliteHistory(path)
    assert path.read_text() == "my notes, " * 1000


def test_another_database_is_told_and_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE holidays (day TEXT)")
    connection.close()
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(RunFolderError, match="expected the history of a run, found another database: "):
            SqliteHistory(path, read_only=read_only)
    assert path.read_bytes() == before


def test_a_history_whose_making_was_killed_is_made_again(path: Path) -> None:
    path.touch()
    history = SqliteHistory(path)
    assert list(history.records()) == []
    history.close()


def test_a_damaged_history_is_told(path: Path, make_record: Callable[..., Record]) -> None:
    history = SqliteHistory(path)
    for slot in range(50):
        history.add_record(make_record(slot, source="x" * 2000))
    history.close()
    content = bytearray(path.read_bytes())
    content[4096 * 8 :] = os.urandom(len(content) - 4096 * 8)
    path.write_bytes(content)
    damaged = SqliteHistory(path)
    with pytest.raises(RunFolderError, match="expected the history of a run, found database disk image is malformed"):
        damaged.records()
    damaged.close()


def test_reading_a_history_that_nobody_writes_leaves_nothing_behind(tmp_path: Path) -> None:
    SqliteHistory(tmp_path / FILE_NAME).close()
    before = {path.name for path in tmp_path.iterdir()}
    with contextlib.closing(SqliteHistory(tmp_path / FILE_NAME, read_only=True)) as history:
        assert history.records() == ()
    assert {path.name for path in tmp_path.iterdir()} == before
