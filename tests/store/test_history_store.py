from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from fairnad.attributes import Granularity, Tag, Target
from fairnad.candidate import Call, CandidateId, Evaluation, Failure, FailureKind, Stage, Step, plain
from fairnad.choices import NO_CHOICES, Choices
from fairnad.errors import RunFolderError, StorageError
from fairnad.history import Record, Repair
from fairnad.ideas import Idea, IdeaKind, Source
from fairnad.ports import Answer, CallKey, HistoryStore
from store.history_store import FILE_NAME, SCHEMA_VERSION, SqliteHistory, StepResult

KEY = CallKey("g01-fair-r1-s00-d0", "mutator", 0, 0, "d1gest")

numbers = st.floats(allow_nan=False)
texts = st.text(max_size=30)
tags = st.builds(Tag, st.sampled_from(Target), st.sampled_from(Granularity), texts, texts)
sources = st.builds(Source, texts, st.none() | st.integers(0, 3000), texts, texts)
words = texts.filter(lambda text: bool(text.split()))
ideas = st.one_of(
    st.builds(Idea, words, tag=tags, source=sources),
    st.builds(Idea, texts, st.just(IdeaKind.MUTATED), st.none() | tags),
    st.builds(Idea, words, st.sampled_from([IdeaKind.UPSCALE, IdeaKind.HYPERPARAMETER])),
    st.just(Idea("", IdeaKind.NONE)),
)
places = st.builds(
    CandidateId, st.integers(0, 200), st.sampled_from(Stage), st.integers(1, 9), st.integers(0, 200), st.integers(0, 99)
)
calls = st.builds(Call, texts, texts, st.integers(0), st.integers(0), numbers, st.booleans(), texts)
evaluations = st.builds(
    Evaluation, numbers, texts, st.dictionaries(texts, numbers), texts, st.lists(numbers).map(tuple), numbers, texts
)
failures = st.builds(Failure, st.sampled_from(Step), st.sampled_from(FailureKind), texts, texts)
outcomes = evaluations.map(lambda e: (e, None)) | failures.map(lambda f: (None, f))
records = st.builds(
    lambda outcome, *fields: Record(*fields[:4], *outcome, *fields[4:]),
    outcomes, places.map(str), texts, ideas, texts, texts, st.integers(0), st.integers(0), texts,
    st.lists(calls, max_size=3).map(tuple), numbers, st.integers(0),
)  # fmt: skip
answers = st.builds(Answer, calls, st.lists(st.tuples(texts, texts), max_size=3).map(tuple), texts, texts)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


@pytest.fixture
def history(path: Path) -> Iterator[SqliteHistory]:
    store = SqliteHistory(path)
    yield store
    store.close()


@pytest.fixture(scope="module")
def filling_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteHistory]:
    """One history for all examples of a property: a file for each would spend its time on fsync."""
    store = SqliteHistory(tmp_path_factory.mktemp("filling-up") / "history.sqlite")
    yield store
    store.close()


unused = itertools.count()


@given(record=records)
@settings(max_examples=200, deadline=None)
def test_a_record_comes_back_as_it_was(filling_up: SqliteHistory, record: Record) -> None:
    record = dataclasses.replace(record, candidate_id=str(record.place._replace(slot=next(unused))))
    filling_up.add_record(record)
    (found,) = [found for found in filling_up.records() if found.candidate_id == record.candidate_id]
    assert found == record == filling_up.find_record(record.candidate_id)
    assert plain(found) == plain(record)  # also what comparisons leave out, such as seconds
    assert type(found.idea.kind) is IdeaKind and type(found.calls) is tuple


@given(answer=answers, result=st.dictionaries(texts, json_values, max_size=4))
@settings(max_examples=150, deadline=None)
def test_answers_and_steps_come_back_as_they_were(
    filling_up: SqliteHistory, answer: Answer, result: dict[str, object]
) -> None:
    key = CallKey("c", "mutator", 0, next(unused), "d1gest")
    filling_up.add_answer(key, answer)
    filling_up.add_step("c", "mutate", key.part, result)
    found = filling_up.find_answer(key)
    assert found == answer and plain(found) == plain(answer)
    assert filling_up.find_step("c", "mutate", key.part) == result


def test_what_has_no_utf8_form_comes_back_as_it_was(history: SqliteHistory, answer: Answer) -> None:
    broken = Answer(answer.call, answer.messages, "half a character: \ud83d, and a zero: \0", "stop")
    history.add_answer(KEY, broken)
    assert list(history.answers()) == [(KEY, broken)]
    assert history.find_answer(KEY) == broken


def test_what_was_never_stored_is_none(history: SqliteHistory) -> None:
    store: HistoryStore = history
    assert store.find_step("g01-fair-r1-s00-d0", "mutate", 0) is None
    assert store.find_answer(KEY) is None
    assert store.find_record("g01-fair-r1-s00-d0") is None
    assert list(store.find_steps("judge", 0)) == []
    assert list(store.records()) == []
    assert list(store.calls("g01-fair-r1-s00-d0")) == []
    assert history.status() == ""


def test_a_second_write_of_the_same_key_changes_nothing(
    history: SqliteHistory, make_record: Callable[..., Record], answer: Answer
) -> None:
    history.add_step("c", "mutate", 0, {"source": "first"})
    history.add_step("c", "mutate", 0, {"source": "second"})
    history.add_record(make_record(source="first"))
    history.add_record(make_record(source="second"))
    history.add_answer(KEY, answer)
    history.add_answer(KEY, Answer(answer.call, (), "second", "stop"))
    assert history.find_step("c", "mutate", 0) == {"source": "first"}
    assert [record.source for record in history.records()] == ["first"]
    assert history.find_answer(KEY) == answer
    assert len(history.calls(KEY.candidate_id)) == 1


def test_a_changed_prompt_or_another_part_is_another_call(history: SqliteHistory, answer: Answer) -> None:
    history.add_answer(KEY, answer)
    assert history.find_answer(CallKey(KEY.candidate_id, KEY.role, 0, 0, "other")) is None
    assert history.find_answer(CallKey(KEY.candidate_id, KEY.role, 0, 1, KEY.prompt_digest)) is None
    assert history.find_answer(CallKey(KEY.candidate_id, KEY.role, 1, 0, KEY.prompt_digest)) is None


def test_records_come_in_the_order_of_drawing(history: SqliteHistory, make_record: Callable[..., Record]) -> None:
    for slot in (7, 2, 11):
        history.add_record(make_record(slot))
    assert [record.place.slot for record in history.records()] == [2, 7, 11]
    history.add_record(make_record(5))
    assert [record.place.slot for record in history.records()] == [2, 5, 7, 11]


def test_calls_and_steps_come_in_the_order_of_their_end(history: SqliteHistory, answer: Answer) -> None:
    for role in ("mutator", "debugger", "downscaler"):
        call = Call(role, "m", 1, 1, 1.0, True)
        history.add_answer(CallKey("c", role, 0, 0, ""), Answer(call, (), "", "stop"))
    history.add_answer(KEY, answer)
    for step, version in (("mutate", 0), ("execute", 0), ("debug", 1), ("execute", 1)):
        history.add_step("c", step, version, {"step": step})
    assert [call.role for call in history.calls("c")] == ["mutator", "debugger", "downscaler"]
    assert [key.role for key, _ in history.answers()] == ["mutator", "debugger", "downscaler", "mutator"]
    assert history.steps("c")[2] == StepResult("debug", 1, {"step": "debug"})
    assert [(step.step, step.version) for step in history.steps("c")][-1] == ("execute", 1)


def test_a_step_is_found_over_all_candidates_in_the_order_it_was_stored(history: SqliteHistory) -> None:
    for candidate_id, step, version in (("b", "judge", 0), ("a", "judge", 0), ("c", "judge", 1), ("a", "train", 0)):
        history.add_step(candidate_id, step, version, {"of": candidate_id})
    assert history.find_steps("judge", 0) == [("b", {"of": "b"}), ("a", {"of": "a"})]


def test_everything_is_there_after_closing_and_opening(
    path: Path, make_record: Callable[..., Record], answer: Answer
) -> None:
    history = SqliteHistory(path)
    history.add_record(make_record())
    history.add_step("c", "train", 2, {"accuracy": 0.25})
    history.add_answer(KEY, answer)
    history.set_status("searching")
    history.set_status("finished")
    history.close()
    history.close()
    again = SqliteHistory(path)
    assert list(again.records()) == [make_record()]
    assert again.find_step("c", "train", 2) == {"accuracy": 0.25}
    assert again.find_answer(KEY) == answer
    assert again.status() == "finished"
    again.close()


def test_threads_that_write_the_same_and_other_keys_lose_nothing(
    history: SqliteHistory, make_record: Callable[..., Record], answer: Answer
) -> None:
    num_threads, num_slots = 8, 30
    ready = threading.Barrier(num_threads)

    def work(thread: int) -> None:
        ready.wait()
        for slot in range(num_slots):
            history.add_record(make_record(slot))
            history.add_step(f"own-{thread}", "execute", slot, {"slot": slot})
            history.add_answer(CallKey("c", "mutator", slot, 0, ""), answer)
            assert len(history.records()) >= slot + 1

    with ThreadPoolExecutor(num_threads) as pool:
        assert list(pool.map(work, range(num_threads))) == [None] * num_threads
    assert [record.place.slot for record in history.records()] == list(range(num_slots))
    assert len(history.calls("c")) == num_slots
    for thread in range(num_threads):
        assert [step.version for step in history.steps(f"own-{thread}")] == list(range(num_slots))


WRITER = """
import sys
from pathlib import Path
from typing import Any
from fairnad.candidate import Call, CandidateId, Evaluation, Stage
from fairnad.history import Record
from fairnad.ideas import Idea, IdeaKind
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
    assert line.endswith("make room or mend the permissions, then run the same command again")
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
    with pytest.raises(RunFolderError, match=f"is of version 7, this program reads version {SCHEMA_VERSION}: choose"):
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
    choices = Choices("qwen", "edit", ("shape", "memory"), ("A gate: +1.2 points",))
    repairs = (Repair(FailureKind.SHAPE, 1, False, 2), Repair(FailureKind.RUNTIME, 2, True))
    history = SqliteHistory(tmp_path / "history.sqlite")
    history.add_record(make_record(0))
    history.add_record(make_record(1, choices=choices, repairs=repairs, num_debugs=2))
    history.close()
    plain_line, line = map(json.loads, print_history(root, tmp_path, "--jsonl").stdout.splitlines())
    assert TypeAdapter(Choices).validate_python(line["choices"]) == choices
    assert TypeAdapter(tuple[Repair, ...]).validate_python(line["repairs"]) == repairs
    assert (plain_line["repairs"], TypeAdapter(Choices).validate_python(plain_line["choices"])) == ([], NO_CHOICES)


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
    assert heading.split() == ["candidate", "accuracy", "params", "flops", "what", "became", "of", "it"]
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


def test_every_candidate_that_was_heard_of_is_named_once(tmp_path: Path, make_record: Callable[..., Record]) -> None:
    with contextlib.closing(SqliteHistory(tmp_path / FILE_NAME)) as history:
        history.add_step("under-way", "mutate", 0, {})
        history.add_step(make_record(1).candidate_id, "mutate", 0, {})
        history.add_record(make_record(2))
        history.add_record(make_record(1))
        assert history.candidate_ids() == [make_record(1).candidate_id, make_record(2).candidate_id, "under-way"]


def test_reading_a_history_that_nobody_writes_leaves_nothing_behind(tmp_path: Path) -> None:
    SqliteHistory(tmp_path / FILE_NAME).close()
    before = {path.name for path in tmp_path.iterdir()}
    with contextlib.closing(SqliteHistory(tmp_path / FILE_NAME, read_only=True)) as history:
        assert history.records() == ()
    assert {path.name for path in tmp_path.iterdir()} == before
