from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fairnad.errors import ReplayError
from fairnad.ports import Answer, CallKey
from store.call_file import RecordedCalls, ReplayedCalls, read_calls
from store.history_store import SqliteHistory

FIRST = CallKey("g01-fair-r1-s00-d0", "mutator", 0, 0, "abc")
SECOND = CallKey("g01-fair-r1-s00-d0", "debugger", 1, 0, "def")


@pytest.fixture
def history(tmp_path: Path) -> Iterator[SqliteHistory]:
    store = SqliteHistory(tmp_path / "history.sqlite")
    yield store
    store.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "llm.jsonl"


def record(history: SqliteHistory, file: Path, answer: Answer, *keys: CallKey) -> RecordedCalls:
    log = RecordedCalls(history, file, "pack1")
    for key in keys:
        log.add_answer(key, answer)
    return log


def test_a_call_is_a_line_as_soon_as_it_is_stored(history: SqliteHistory, file: Path, answer: Answer) -> None:
    record(history, file, replace(answer, temperature=0.7, max_tokens=64), FIRST)
    (line,) = map(json.loads, file.read_text().splitlines())
    assert line == {
        "candidate_id": "g01-fair-r1-s00-d0",
        "role": "mutator",
        "version": 0,
        "part": 0,
        "prompt_digest": "abc",
        "pack_digest": "pack1",
        "model": "qwen3-8b",
        "temperature": 0.7,
        "max_tokens": 64,
        "messages": [
            {"role": "system", "content": "You design networks."},
            {"role": "user", "content": "Change this one."},
        ],
        "reply": "Here it is.",
        "finish": "stop",
        "input_tokens": 900,
        "output_tokens": 300,
        "usd": 0.0,
        "seconds": 4.5,
        "ok": True,
        "note": "",
    }


def test_an_answer_that_is_stored_already_gets_no_second_line(
    history: SqliteHistory, file: Path, answer: Answer
) -> None:
    record(history, file, answer, FIRST, FIRST)
    record(history, file, answer, FIRST, SECOND)
    assert [key for key, _ in read_calls(file)] == [FIRST, SECOND]


def test_a_line_that_a_kill_cut_off_is_skipped_by_readers_and_mended_at_the_next_start(
    history: SqliteHistory, file: Path, answer: Answer
) -> None:
    record(history, file, answer, FIRST, SECOND)
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    assert [key for key, _ in read_calls(file)] == [FIRST]
    record(history, file, answer)
    assert file.read_bytes() == whole


def test_a_line_that_a_kill_prevented_is_written_at_the_next_start(
    history: SqliteHistory, file: Path, answer: Answer
) -> None:
    history.add_answer(FIRST, answer)
    record(history, file, answer)
    assert [key for key, _ in read_calls(file)] == [FIRST]


def test_what_is_replayed_is_what_was_recorded_and_is_recorded_again(
    history: SqliteHistory, file: Path, answer: Answer, tmp_path: Path
) -> None:
    record(history, file, answer, FIRST)
    other = SqliteHistory(tmp_path / "other.sqlite")
    log = RecordedCalls(other, tmp_path / "other.jsonl", "pack1")
    try:
        found = ReplayedCalls(log, file, "pack1").find_answer(FIRST)
        assert found == replace(answer, pack_digest="pack1")
        assert list(other.answers()) == [(FIRST, found)]
        assert (tmp_path / "other.jsonl").read_bytes() == file.read_bytes()
    finally:
        other.close()


@pytest.mark.parametrize(
    ("asked", "pack", "why"),
    [
        (SECOND, "pack1", "the call of debugger for g01-fair-r1-s00-d0, version 1, part 0: it contains no such call"),
        (
            replace(FIRST, prompt_digest="new"),
            "pack2",
            "(digest abc then, new now; pack pack1 then, pack2 now); replay",
        ),
        (
            replace(FIRST, prompt_digest="new"),
            "pack1",
            "its prompt has changed (digest abc then, new now; the same pack",
        ),
    ],
)
def test_a_call_that_was_not_recorded_is_named_with_the_reason(
    history: SqliteHistory, file: Path, answer: Answer, tmp_path: Path, asked: CallKey, pack: str, why: str
) -> None:
    record(history, file, answer, FIRST)
    other = SqliteHistory(tmp_path / "other.sqlite")
    try:
        log = ReplayedCalls(RecordedCalls(other, tmp_path / "other.jsonl", pack), file, pack)
        with pytest.raises(ReplayError) as caught:
            log.find_answer(asked)
    finally:
        other.close()
    assert why in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_line_that_is_no_call_is_named(file: Path) -> None:
    file.write_text('{"role": "mutator"}\n')
    with pytest.raises(ReplayError, match=r"llm.jsonl:1 is not a recorded call \(KeyError\('candidate_id'\)\)"):
        list(read_calls(file))


def test_no_file_is_said(file: Path) -> None:
    with pytest.raises(ReplayError, match="expected the calls of a run, found no "):
        list(read_calls(file))
