"""What is mended without a call, over a list of faults as language models make them."""

from __future__ import annotations

import pytest

from agents.builtin.debugger import known_repair
from fairnad.records.candidate import Failure, FailureKind, Step
from tests.agents.builtin.checked import failure_of
from tests.agents.builtin.faulty_sources import BASE, FAULTS
from tests.agents.builtin.networks import run

NOT_MENDED = {
    "a layer that never was",
    "cut off",
    "an argument too many",
    "an attribute never set",
    "the wrong width inside",
    "a gate without its axes",
    "no pooling before the head",
    "no stride in the projection",
}
"""Where only the idea says what was meant."""
ALL = [(name, source) for group in FAULTS.values() for name, source in group.items()]
MENDED = [(name, source) for name, source in ALL if name not in NOT_MENDED]


def mended(source: str) -> tuple[str, list[str]]:
    """A source mended as often as the loop would debug it at most, and what was done."""
    notes: list[str] = []
    for _ in range(2):
        found = known_repair(source, failure_of(source), BASE)
        if found is None:
            break
        source, note = found
        notes.append(note)
        if runs(source):
            break
    return source, notes


def runs(source: str) -> bool:
    """Whether a check job accepts it, in this process."""
    try:
        failure_of(source)
    except AssertionError:
        return True
    return False


def test_the_parent_of_the_faults_runs() -> None:
    assert runs(BASE)


@pytest.mark.parametrize(("name", "source"), MENDED, ids=[name for name, _ in MENDED])
def test_a_known_fault_is_mended_without_a_call(name: str, source: str) -> None:
    assert not runs(source)

    source, notes = mended(source)

    run(source, train_side=16)
    assert all(notes)


@pytest.mark.parametrize(("name", "source"), [item for item in ALL if item[0] in NOT_MENDED])
def test_what_only_the_idea_tells_is_left_to_whoever_knows_it(name: str, source: str) -> None:
    source, _ = mended(source)

    assert not runs(source)


def test_what_changes_the_network_into_another_one_is_no_known_repair() -> None:
    failure = Failure(Step.EXECUTE, FailureKind.MEMORY, "killed at its memory limit")

    assert known_repair(BASE.replace("Block(8, 8), Block(8, 8)", "*[Block(8, 8) for _ in range(40)]"), failure) is None
