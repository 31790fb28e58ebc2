"""What a record tells of the debugs that were spent on a candidate."""

from __future__ import annotations

from contextlib import closing
from types import SimpleNamespace

import pytest

from fairnad.ports import Answer, CallKey, Proposal
from fairnad.records.candidate import Call, CheckReport, Failure, FailureKind, Step, plain
from fairnad.records.history import Repair
from graphs.candidate.recording import list_repairs
from graphs.runtime.steps import Steps
from store.history_store import SqliteHistory

NAME = "g01-fair-r1-s00-d0"
RUNS = CheckReport({"params": 1.0, "flops": 1.0}, "f", 2)
SOURCE = Proposal("import torch\n", "a prompt")
NO_REPLY = Failure(Step.DEBUG, FailureKind.REPLY, "the reply was empty twice")


def broken(kind: FailureKind) -> Failure:
    return Failure(Step.EXECUTE, kind, "no")


@pytest.fixture
def history(tmp_path):
    with closing(SqliteHistory(tmp_path / "history.sqlite")) as store:
        yield store


async def repairs(history, executed, debugged, num_calls=()):
    """What is recorded of reports and debugs by version, with the calls of each debug."""
    for version, report in enumerate(executed):
        if report is not None:
            history.add_step(NAME, Step.EXECUTE, version, {"result": plain(report)})
    for version, proposal in enumerate(debugged, 1):
        history.add_step(NAME, Step.DEBUG, version, {"result": plain(proposal)})
    for version, number in enumerate(num_calls, 1):
        for part in range(number):
            answer = Answer(Call("debug", "m", 1, 1, 0.1, True), (("user", "mend"),), "text", "stop")
            history.add_answer(CallKey(NAME, "debug", version, part, "digest"), answer)
    run = SimpleNamespace(steps=Steps(history), folder=SimpleNamespace(history=history))
    return await list_repairs(NAME, len(executed) - 1, run)


async def test_each_debug_is_told_with_the_failure_it_was_spent_on(history):
    executed = [broken(FailureKind.SHAPE), broken(FailureKind.MEMORY), RUNS]
    assert await repairs(history, executed, [SOURCE, SOURCE], [2, 0]) == (
        Repair(FailureKind.SHAPE, 1, False, 2),
        Repair(FailureKind.MEMORY, 2, True, 0),
    )


async def test_a_debug_without_a_source_leaves_the_failure_to_the_next(history):
    executed = [broken(FailureKind.SHAPE), None, RUNS]
    assert await repairs(history, executed, [NO_REPLY, SOURCE], [2, 1]) == (
        Repair(FailureKind.SHAPE, 1, False, 2),
        Repair(FailureKind.SHAPE, 2, True, 1),
    )


async def test_where_nothing_was_tried_nothing_is_told(history):
    assert await repairs(history, [broken(FailureKind.SHAPE), None], [NO_REPLY]) == ()


async def test_what_ran_at_once_needed_no_repair(history):
    assert await repairs(history, [RUNS], []) == ()
