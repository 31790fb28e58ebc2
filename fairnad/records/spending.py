"""What a search has spent on language models, as sums over its history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fairnad.ports import CallKey
from fairnad.records.candidate import Call, Stage
from fairnad.records.history import History, Record, accuracy
from fairnad.records.prices import NOTHING, Usage


@dataclass(frozen=True, slots=True)
class Account:
    """Calls that belong together: how many, how many of them came to nothing, what they cost, how long they took."""

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
    """Every call for a recorded candidate."""
    return Account.of(call for record in history.records for call in record.calls)


def by_role(history: History) -> Mapping[str, Account]:
    """What each role cost, by name."""
    return _grouped(history, lambda record, call: call.role)


def by_model(history: History) -> Mapping[str, Account]:
    """What each language model cost, by name."""
    return _grouped(history, lambda record, call: call.model)


def by_stage(history: History) -> Mapping[Stage, Account]:
    """What each stage cost, in the order of the stages."""
    found = _grouped(history, lambda record, call: str(record.stage))
    return {stage: found[stage] for stage in Stage if stage in found}


def by_candidate(history: History) -> Mapping[str, Account]:
    """What each candidate cost that a language model was asked for, in the order of drawing."""
    return {record.candidate_id: Account.of(record.calls) for record in history.records if record.calls}


def _grouped(history: History, key: Callable[[Record, Call], str]) -> dict[str, Account]:
    groups: defaultdict[str, list[Call]] = defaultdict(list)
    for record in history.records:
        for call in record.calls:
            groups[key(record, call)].append(call)
    return {name: Account.of(calls) for name, calls in sorted(groups.items())}


@dataclass(frozen=True, slots=True)
class Yield:
    """What came of the money. Each is ``None`` where it is not defined.

    ``tokens_a_valid`` and ``usd_a_valid`` are for one candidate that passed execution, budget and structure, as the
    pass rate counts them; ``tokens_a_point`` and ``usd_a_point`` for one percentage point of validation accuracy
    that the best candidate lies above the base.
    """

    num_valid: int
    points: float | None
    tokens_a_valid: float | None
    usd_a_valid: float | None
    tokens_a_point: float | None
    usd_a_point: float | None


def yield_of(history: History) -> Yield:
    """What a search got for its calls."""
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
    """Percentage points of the best above the base; ``None`` unless it lies above, by the same recipe."""
    base, best = history.base, history.best
    if base is None or best is None or base.evaluation is None or best.evaluation is None:
        return None
    if base.evaluation.recipe_digest != best.evaluation.recipe_digest:
        return None
    points = 100 * (accuracy(best) - accuracy(base))
    return points if points > 0 else None


class Unlimited:
    """A :class:`fairnad.ports.Ledger` that allows everything and keeps nothing, for calls that belong to no search."""

    async def reserve(self, key: CallKey, model: str, most: Usage) -> int:
        """Always allowed."""
        return 0

    async def settle(self, number: int, spent: Usage, note: str = "") -> None:
        """Nothing is kept."""


UNLIMITED = Unlimited()
