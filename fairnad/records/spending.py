"""Spending on language models, summed over a history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fairnad.ports import CallKey
from fairnad.records.candidate import Call, Stage
from fairnad.records.history import History, Record
from fairnad.records.lineage import accuracy_change
from fairnad.records.prices import NOTHING, Usage


@dataclass(frozen=True, slots=True)
class Account:
    """Totals of a group of calls: number, failures, tokens and money, and time."""

    num_calls: int = 0
    num_failed: int = 0
    usage: Usage = NOTHING
    seconds: float = 0.0

    @classmethod
    def of(cls, calls: Iterable[Call]) -> Account:
        """The sum of some calls."""
        made = list(calls)
        return cls(
            num_calls=len(made),
            num_failed=sum(not call.ok for call in made),
            usage=sum((usage_of(call) for call in made), NOTHING),
            seconds=sum(call.seconds for call in made),
        )


def usage_of(call: Call) -> Usage:
    """The cost of one call."""
    return Usage(call.input_tokens, call.output_tokens, call.usd)


def total(history: History) -> Account:
    """Totals of all calls for recorded candidates."""
    return Account.of(call for record in history.records for call in record.calls)


def by_role(history: History) -> Mapping[str, Account]:
    """Totals by role."""
    return _group(history, lambda record, call: call.role)


def by_model(history: History) -> Mapping[str, Account]:
    """Totals by language model."""
    return _group(history, lambda record, call: call.model)


def by_stage(history: History) -> Mapping[Stage, Account]:
    """Totals by stage, in the order of the stages."""
    found = _group(history, lambda record, call: str(record.stage))
    return {stage: found[stage] for stage in Stage if stage in found}


def by_candidate(history: History) -> Mapping[str, Account]:
    """Totals by candidate with calls, in the order of drawing."""
    return {record.candidate_id: Account.of(record.calls) for record in history.records if record.calls}


def _group(history: History, key: Callable[[Record, Call], str]) -> dict[str, Account]:
    groups: defaultdict[str, list[Call]] = defaultdict(list)
    for record in history.records:
        for call in record.calls:
            groups[key(record, call)].append(call)
    return {name: Account.of(calls) for name, calls in sorted(groups.items())}


@dataclass(frozen=True, slots=True)
class Yield:
    """Cost efficiency of a search; a value is ``None`` if it is undefined.

    ``tokens_a_valid`` and ``usd_a_valid`` are per candidate that passed execution, budget and structure, as in the
    pass rate; ``tokens_a_point`` and ``usd_a_point`` per point by which the best candidate exceeds the base on
    validation.
    """

    num_valid: int
    points: float | None
    tokens_a_valid: float | None
    usd_a_valid: float | None
    tokens_a_point: float | None
    usd_a_point: float | None


def yield_of(history: History) -> Yield:
    """Cost efficiency of a search."""
    spent, num_valid, points = total(history).usage, history.pass_rate().num_valid, _points(history)
    return Yield(
        num_valid=num_valid,
        points=points,
        tokens_a_valid=spent.tokens / num_valid if num_valid else None,
        usd_a_valid=spent.usd / num_valid if num_valid else None,
        tokens_a_point=spent.tokens / points if points else None,
        usd_a_point=spent.usd / points if points else None,
    )


def _points(history: History) -> float | None:
    """Points of the best candidate above the base; ``None`` if it is not above, or by different recipes."""
    base, best = history.base, history.best
    gained = accuracy_change(base, best) if base is not None and best is not None else None
    return history.objective.scale * gained if gained is not None and gained > 0 else None


class Unlimited:
    """A :class:`fairnad.ports.Ledger` without limits or storage, for calls outside a search."""

    async def reserve(self, key: CallKey, model: str, most: Usage) -> int:
        """Always allowed."""
        return 0

    async def settle(self, number: int, spent: Usage, note: str = "") -> None:
        """Nothing is stored."""


UNLIMITED = Unlimited()
