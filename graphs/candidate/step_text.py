"""What a step changed, in the short form the state carries for people."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from fairnad.formatting import quantity_text, share_text
from fairnad.ports import Proposal
from fairnad.records.candidate import Failure, Step

MAX_DIFF_LINES = 80
MAX_LINE_CHARACTERS = 200


def diff_text(before: str, after: str) -> str:
    """A unified diff of two sources without file names, cut after :data:`MAX_DIFF_LINES` lines."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=2, lineterm=""))[2:]
    left_out = len(lines) - MAX_DIFF_LINES
    shown = [short(line) for line in lines[:MAX_DIFF_LINES]]
    return "\n".join([*shown, f"… {left_out} more lines"] if left_out > 0 else shown)


def proposal_text(step: Step, proposal: Proposal, before: str) -> str:
    """What a new source changes, with the note of whoever made it and the idea behind it."""
    said = [change_text(before, proposal.source), proposal.note, proposal.idea.text if proposal.idea else ""]
    said += [f"not taken: {proposal.discarded}"] if proposal.discarded else []
    return short(f"{step}: {'; '.join(part for part in said if part)}")


def change_text(before: str, after: str) -> str:
    """How many lines came and went."""
    changes = [line[0] for line in difflib.ndiff(before.splitlines(), after.splitlines())]
    return f"+{changes.count('+')} −{changes.count('-')} lines"


def failure_text(failure: Failure) -> str:
    """Why a source does not run, and the shapes at the line that fails, where they are known."""
    *_, shapes = ["", *failure.shape_trace.splitlines()]
    told = f"{failure.step}: {failure.kind}: {failure.message}"
    return short(f"{told}; {shapes.strip()}" if shapes.startswith("  ") else told)


def costs_text(answer: Mapping[str, Any]) -> str:
    """Costs with their shares of the limits, as the tool ``evaluate_budget`` answers."""
    shares = answer["shares"]
    return ", ".join(
        f"{name} {quantity_text(cost)} ({share_text(shares[name])} of its limit)"
        if name in shares
        else f"{name} {quantity_text(cost)}"
        for name, cost in answer["costs"].items()
    )


def training_text(answer: Mapping[str, Any]) -> str:
    """The accuracy, or why there is none, as the tool ``train_candidate`` answers."""
    if "accuracy" in answer:
        return f"accuracy {answer['accuracy']:.4f}"
    return short(f"{answer['failure']['kind']}: {answer['failure']['message']}")


def short(text: str) -> str:
    """``text`` cut to a line's length."""
    return text if len(text) <= MAX_LINE_CHARACTERS else f"{text[: MAX_LINE_CHARACTERS - 1]}…"
