"""What the state tells of a step stays short."""

from __future__ import annotations

from fairnad.ports import Proposal
from fairnad.records.candidate import Step
from graphs.candidate import step_text as story

BEFORE = "a\nb\nc\nd\n"
AFTER = "a\nB\nc\nd\ne\n"


def test_a_change_is_told_by_its_lines():
    assert story.change_text(BEFORE, AFTER) == "+2 −1 lines"
    assert story.diff_text(BEFORE, AFTER).splitlines()[1:] == [" a", "-b", "+B", " c", " d", "+e"]
    assert story.diff_text(BEFORE, BEFORE) == ""


def test_a_long_diff_and_long_lines_are_cut():
    long = story.diff_text("", "x" * 500 + "\n" + "\n".join(map(str, range(300))))
    lines = long.splitlines()
    assert len(lines) == story.MAX_DIFF_LINES + 1
    assert lines[-1] == "… 222 more lines"
    assert max(map(len, lines)) == story.MAX_LINE_CHARACTERS


def test_a_proposal_is_told_with_its_note():
    told = story.proposal_text(Step.DEBUG, Proposal(AFTER, "", note="imports added"), BEFORE)
    assert told == "debug: +2 −1 lines; imports added"
    told = story.proposal_text(
        Step.DOWNSCALE, Proposal(AFTER, "", note="b", discarded="a: over a limit: 9 params"), BEFORE
    )
    assert told == "downscale: +2 −1 lines; b; not taken: a: over a limit: 9 params"


def test_costs_and_trainings_are_told_as_the_tools_answer():
    answer = {"costs": {"params": 1480.0, "flops": 66000.0, "macs": 3.0}, "shares": {"params": 0.592, "flops": 0.066}}
    assert story.costs_text(answer) == "params 1.48k (59% of its limit), flops 66k (6% of its limit), macs 3"
    assert story.training_text({"accuracy": 0.81234}) == "accuracy 0.8123"
    assert story.training_text({"failure": {"kind": "timeout", "message": "too slow"}}) == "timeout: too slow"
