"""Steps happen once, and candidates are judged in slot order."""

import asyncio

import pytest

from fairnad.errors import StoppingError
from fairnad.ports import Proposal, Verdict
from fairnad.records.candidate import Evaluation, Failure, FailureKind, Step
from graphs.runtime.steps import EVALUATION, PROPOSAL, Steps
from store.history_store import SqliteHistory

ONE, TWO, THREE = (f"g01-fair-r1-s{slot:02d}-d0" for slot in range(3))
NEW = Verdict(changed=True, multi_layer=True)


@pytest.fixture
def history(tmp_path):
    opened = SqliteHistory(tmp_path / "history.sqlite")
    yield opened
    opened.close()


async def test_a_step_is_taken_once_and_its_value_survives_the_process(history):
    taken = []

    async def make():
        taken.append(1)
        return Evaluation(0.5, "recipe", {"params": 3.0}, "f", (1.0, 0.5))

    first = await Steps(history).once(ONE, Step.TRAIN, 0, EVALUATION, make)
    again = await Steps(history).once(ONE, Step.TRAIN, 0, EVALUATION, make)
    assert first == again
    assert taken == [1]


async def test_a_failed_step_is_stored_as_the_failure_it_was(history):
    failure = Failure(Step.MUTATE, FailureKind.REPLY, "no code", "tail")

    async def make():
        return failure

    steps = Steps(history)
    assert await steps.once(ONE, Step.MUTATE, 0, PROPOSAL, make) == failure
    assert await steps.find(ONE, Step.MUTATE, 0, PROPOSAL) == failure
    assert await steps.find(ONE, Step.MUTATE, 1, PROPOSAL) is None


async def test_the_last_source_skips_retries_that_brought_none(history):
    steps = Steps(history)
    results = [
        (Step.MUTATE, 0, Proposal("zero", "p")),
        (Step.DEBUG, 1, Failure(Step.DEBUG, FailureKind.REPLY, "")),
        (Step.DOWNSCALE, 2, Proposal("two", "p")),
    ]
    for step, version, result in results:

        async def make(result=result):
            return result

        await steps.once(ONE, step, version, PROPOSAL, make)
    assert [await steps.last_source(ONE, version) for version in (-1, 0, 1, 2)] == ["", "zero", "zero", "two"]


async def test_an_error_of_the_system_is_not_stored(history):
    async def fail():
        raise ZeroDivisionError

    steps = Steps(history)
    with pytest.raises(ZeroDivisionError):
        await steps.once(ONE, Step.TRAIN, 0, EVALUATION, fail)
    await asyncio.wait_for(steps.idle(), 1)
    assert await steps.find(ONE, Step.TRAIN, 0, EVALUATION) is None


async def test_a_step_cut_off_by_stopping_stays_pending_and_does_not_keep_the_steps_busy(history):
    async def cut_off():
        raise StoppingError

    steps = Steps(history)
    pending = asyncio.ensure_future(steps.once(ONE, Step.TRAIN, 0, EVALUATION, cut_off))
    done, _ = await asyncio.wait({pending}, timeout=0.05)
    assert not done
    await asyncio.wait_for(steps.idle(), 1)
    pending.cancel()
    assert await steps.find(ONE, Step.TRAIN, 0, EVALUATION) is None


async def test_idle_waits_for_a_step_under_way(history):
    release = asyncio.Event()

    async def wait():
        await release.wait()
        return Evaluation(0.5, "recipe", {}, "f")

    steps = Steps(history)
    running = asyncio.ensure_future(steps.once(ONE, Step.TRAIN, 0, EVALUATION, wait))
    while not steps.num_active:
        await asyncio.sleep(0)
    idle = asyncio.ensure_future(steps.idle())
    done, _ = await asyncio.wait({idle}, timeout=0.05)
    assert not done
    release.set()
    await asyncio.wait_for(asyncio.gather(running, idle), 5)


async def test_of_two_equal_candidates_the_one_in_the_lower_slot_is_the_original_whoever_is_ready_first(history):
    steps = Steps(history)
    second = asyncio.ensure_future(steps.judge_in_turn(TWO, [ONE], NEW, "same"))
    done, _ = await asyncio.wait({second}, timeout=0.05)
    assert not done
    first = await steps.judge_in_turn(ONE, [], NEW, "same")
    refused = await second
    assert first.failure is None
    assert refused.duplicate_of == ONE
    assert refused.failure.kind is FailureKind.DUPLICATE


async def test_a_candidate_waits_for_one_that_ends_without_being_judged(history):
    steps = Steps(history)
    waiting = asyncio.ensure_future(steps.judge_in_turn(TWO, [ONE], NEW, "b"))
    await asyncio.sleep(0)
    steps.let_others_be_judged(ONE)
    assert (await asyncio.wait_for(waiting, 5)).failure is None


async def test_judgements_of_an_earlier_process_count(history):
    await Steps(history).judge_in_turn(ONE, [], NEW, "a")
    resumed = await asyncio.wait_for(Steps(history).judge_in_turn(TWO, [ONE], NEW, "a"), 5)
    assert resumed.duplicate_of == ONE


async def test_only_accepted_architectures_are_claimed(history):
    steps = Steps(history)
    unchanged = await steps.judge_in_turn(ONE, [], Verdict(False, True, "same trace"), "a")
    single = await steps.judge_in_turn(TWO, [], Verdict(True, False, "one layer"), "a")
    accepted = await steps.judge_in_turn(THREE, [], NEW, "a")
    assert [unchanged.failure.kind, single.failure.kind] == [FailureKind.UNCHANGED, FailureKind.SINGLE_LAYER]
    assert accepted.failure is None


async def test_an_edited_candidate_claims_anew_and_is_no_duplicate_of_itself(history):
    steps = Steps(history)
    await steps.judge_in_turn(ONE, [], NEW, "a")
    assert (await steps.judge_in_turn(ONE, [], NEW, "a", num_edits=1)).failure is None
    assert (await steps.judge_in_turn(ONE, [], NEW, "b", num_edits=2)).failure is None
    assert (await steps.judge_in_turn(TWO, [ONE], NEW, "a")).failure is None, "nobody claims it any more"
    assert (await steps.judge_in_turn(THREE, [ONE, TWO], NEW, "b")).duplicate_of == ONE
