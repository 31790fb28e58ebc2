"""Repair or resample: whether what does not run is worth another call, or a fresh draw brings more (paper §4.4).

A fresh draw uses up one of its slot's draws and brings another idea, so it has to promise clearly more for a call
than a repair does before anything is given up. Where nothing is known, everything is repaired, as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairnad.records.candidate import INTEGRITY_KINDS, FailureKind
from fairnad.records.history import History, Record, Repair, is_valid

REPAIRABLE = (
    FailureKind.SYNTAX,
    FailureKind.POLICY,
    FailureKind.INTERFACE,
    FailureKind.IMPORT,
    FailureKind.SHAPE,
    FailureKind.RUNTIME,
    FailureKind.MEMORY,
    FailureKind.TIMEOUT,
    FailureKind.CRASH,
    *sorted(INTEGRITY_KINDS),
)
"""The kinds of failures a debugger is asked about."""

MARGIN = 0.5
"""A repair is given up where it brings less than this share of what a fresh draw brings for a call."""

LEAST_CALLS = 4
"""So many calls must have gone into a model's repairs before any kind is given up."""

EXPLORED = 0.1
"""The share of draws that repair everything all the same, so that a change is noticed."""

_PRIOR_CALLS = 2.0


@dataclass(frozen=True, slots=True)
class Yield:
    """Valid candidates, and the calls they took."""

    num_valid: int
    num_calls: int

    def smoothed(self, expected: float) -> float:
        """Valid candidates a call, as if two more calls had brought what was ``expected`` of each."""
        return (self.num_valid + _PRIOR_CALLS * expected) / (self.num_calls + _PRIOR_CALLS)


def fresh_yield(records: Sequence[Record]) -> Yield:
    """What first sources bring without a model's repair; ``num_calls`` are those of the mutators."""
    num_valid = sum(is_valid(record) and not _model_repairs(record) for record in records)
    return Yield(num_valid, sum("mutation" in call.role for record in records for call in record.calls))


def repair_yield(records: Sequence[Record], kind: FailureKind | None = None) -> Yield:
    """What a model's repairs bring: of one kind of failures, or of all.

    A repair counts as valid where its source ran and the candidate passed everything that comes after. Repairs
    without a call are free, and not counted.
    """
    num_valid = num_calls = 0
    for record in records:
        repairs = [repair for repair in _model_repairs(record) if kind in (None, repair.kind)]
        num_calls += sum(repair.num_calls for repair in repairs)
        num_valid += is_valid(record) and any(repair.mended for repair in repairs)
    return Yield(num_valid, num_calls)


def kinds_to_resample(history: History, model: str, generator: np.random.Generator) -> tuple[str, ...]:
    """The kinds of failures after which a fresh draw is better than a repair.

    Args:
        history: records of earlier waves.
        model: who designs, as ``Choices.model`` names it; only its own candidates count.
        generator: decides whether this draw explores, which repairs everything.
    """
    explores = generator.random() < EXPLORED
    records = [record for record in history.drawn if record.choices.model == model]
    repairs = repair_yield(records)
    if explores or repairs.num_calls < LEAST_CALLS:
        return ()
    usual = repairs.smoothed(0.5)
    least = MARGIN * fresh_yield(records).smoothed(0.5)
    return tuple(str(kind) for kind in REPAIRABLE if repair_yield(records, kind).smoothed(usual) < least)


def _model_repairs(record: Record) -> list[Repair]:
    return [repair for repair in record.repairs if repair.num_calls]
