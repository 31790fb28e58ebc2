"""What two runs of the same search must share: their records without times."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fairnad.records.candidate import plain
from fairnad.records.history import History, Record


def same(history: History) -> list[Any]:
    """The records as JSON data, with every duration 0; tokens and dollars are kept."""
    return [plain(timeless(record)) for record in history.records]


def timeless(record: Record) -> Record:
    """A record with every duration 0."""
    calls = tuple(replace(call, seconds=0.0) for call in record.calls)
    evaluation = record.evaluation and replace(record.evaluation, seconds=0.0)
    return replace(record, calls=calls, evaluation=evaluation, seconds=0.0)
