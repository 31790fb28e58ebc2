"""Repair or resample: learned as valid candidates per call (paper §4.4).

A new draw uses up one draw of its slot, so each of its calls counts twice. With too little data, every failure is
repaired, as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fairnad.records.candidate import INTEGRITY_KINDS, FailureKind
from fairnad.records.history import History, Record, Repair, is_valid
from fairnad.search.chooser import Belief, choose

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
"""The kinds of failures that a debugger is asked to repair."""

FRESH_COST = 2.0
"""The weight of a call for a new draw, in calls for a repair."""

LEAST_CALLS = 4
"""Minimum calls for repairs before any kind is resampled."""


def learn_fresh_draws(records: Sequence[Record]) -> Belief:
    """Valid candidates that no model had to repair, per call of the mutators."""
    num_valid = sum(is_valid(record) and not _repairs_by_model(record) for record in records)
    num_calls = sum("mutation" in call.role for record in records for call in record.calls)
    return Belief.prior(0.5, FRESH_COST).after(num_valid, num_calls, FRESH_COST * num_calls)


def learn_repairs(records: Sequence[Record], prior: Belief, kind: FailureKind | None = None) -> Belief:
    """Candidates that a model's repair made valid, per call of the debugger.

    Repairs without a call are free and do not count.

    Args:
        kind: the failures that were repaired; ``None``: all.
    """
    num_valid = num_calls = 0
    for record in records:
        repairs = [repair for repair in _repairs_by_model(record) if kind in (None, repair.kind)]
        num_calls += sum(repair.num_calls for repair in repairs)
        num_valid += is_valid(record) and any(repair.mended for repair in repairs)
    return prior.after(num_valid, num_calls, num_calls)


def kinds_to_resample(history: History, model: str, generator: np.random.Generator) -> tuple[str, ...]:
    """The kinds of failures after which a fresh draw is better than a repair.

    A kind without repairs by a call uses the statistics of all kinds.

    Args:
        history: records of earlier waves.
        model: the designer, as in the decisions of a draw; only its candidates count.
    """
    records = [record for record in history.drawn if record.choices.model == model]
    tried = {repair.kind for record in records for repair in _repairs_by_model(record)}
    fresh, repairs = learn_fresh_draws(records), learn_repairs(records, Belief.prior(0.5))
    if repairs.num_trials < LEAST_CALLS + Belief.prior(0.5).num_trials:
        return ()

    def resamples(repair: Belief) -> bool:
        return choose({"repair": repair, "resample": fresh}, generator) == "resample"

    untried = resamples(repairs)
    prior = Belief.prior(repairs.success_rate)
    kinds = (
        kind for kind in REPAIRABLE if (resamples(learn_repairs(records, prior, kind)) if kind in tried else untried)
    )
    return tuple(map(str, kinds))


def _repairs_by_model(record: Record) -> list[Repair]:
    return [repair for repair in record.repairs if repair.num_calls]
