"""Short lines about the steps of a candidate, for display."""

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
    """A line about a new source: its changes, the role's note and the idea."""
    parts = [change_text(before, proposal.source), proposal.note, proposal.idea.text if proposal.idea else ""]
    parts += [f"not taken: {proposal.discarded}"] if proposal.discarded else []
    return short(f"{step}: {'; '.join(part for part in parts if part)}")


def change_text(before: str, after: str) -> str:
    """The number of added and removed lines."""
    changes = [line[0] for line in difflib.ndiff(before.splitlines(), after.splitlines())]
    return f"+{changes.count('+')} −{changes.count('-')} lines"


def failure_text(failure: Failure) -> str:
    """Why a source does not run, with the shapes at the failing line if they are known."""
    *_, shapes = ["", *failure.shape_trace.splitlines()]
    line = f"{failure.step}: {failure.kind}: {failure.message}"
    return short(f"{line}; {shapes.strip()}" if shapes.startswith("  ") else line)


def costs_text(answer: Mapping[str, Any]) -> str:
    """A line with the costs and their shares of the limits, from an answer of the tool ``evaluate_budget``."""
    shares = answer["shares"]
    return ", ".join(
        f"{name} {quantity_text(cost)} ({share_text(shares[name])} of its limit)"
        if name in shares
        else f"{name} {quantity_text(cost)}"
        for name, cost in answer["costs"].items()
    )


def training_text(answer: Mapping[str, Any]) -> str:
    """A line with the accuracy or the failure, from an answer of the tool ``train_candidate``."""
    if "accuracy" in answer:
        return f"accuracy {answer['accuracy']:.4f}"
    return short(f"{answer['failure']['kind']}: {answer['failure']['message']}")


def short(text: str) -> str:
    """``text``, cut to one line."""
    return text if len(text) <= MAX_LINE_CHARACTERS else f"{text[: MAX_LINE_CHARACTERS - 1]}…"
