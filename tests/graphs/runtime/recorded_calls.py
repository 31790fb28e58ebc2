"""A log of recorded calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fairnad.ports import Answer, CallKey
from fairnad.records.candidate import Call
from store.call_file import CALLS_NAME, call_line


def write_calls(folder: Path, models: Sequence[str]) -> Path:
    """A log with a call of each model."""
    folder.mkdir(parents=True, exist_ok=True)
    answers = [Answer(Call("mutation", model, 9, 5, 1.0, True), (), "…", "stop", temperature=0.2) for model in models]
    keys = [CallKey("g00-initial-r1-s00-d0", "mutation", 0, part, "abc") for part in range(len(answers))]
    (folder / CALLS_NAME).write_text("".join(map(call_line, keys, answers)))
    return folder / CALLS_NAME
