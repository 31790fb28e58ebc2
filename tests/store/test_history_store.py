from __future__ import annotations

import contextlib
import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind, Source
from fairnad.ports import Answer, CallKey, HistoryStore
from fairnad.records.candidate import Call, CandidateId, Evaluation, Failure, FailureKind, Stage, Step, plain
from fairnad.records.history import Record
from store.history_store import FILE_NAME, SqliteHistory, StepResult

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


def test_every_candidate_that_was_heard_of_is_named_once(tmp_path: Path, make_record: Callable[..., Record]) -> None:
    with contextlib.closing(SqliteHistory(tmp_path / FILE_NAME)) as history:
        history.add_step("under-way", "mutate", 0, {})
        history.add_step(make_record(1).candidate_id, "mutate", 0, {})
        history.add_record(make_record(2))
        history.add_record(make_record(1))
        assert history.candidate_ids() == [make_record(1).candidate_id, make_record(2).candidate_id, "under-way"]
