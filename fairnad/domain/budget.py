"""Budgets: hardware limits τ₁ … τₙ that candidates must meet (paper §4.3.2, §4.4, Table 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Costs = Mapping[str, float]
"""Measured costs by budget name, in the unit of the budget."""


@dataclass(frozen=True, slots=True)
class Budget:
    """One limit τ, in ``unit``. ``name`` is also the key of the measured cost."""

    name: str
    unit: str
    limit: float

    def __post_init__(self) -> None:
        if not self.limit > 0:
            raise ValueError(f"the limit of {self.name} must be above 0, found {self.limit}")


def load(costs: Costs, budgets: Sequence[Budget]) -> dict[str, float]:
    """Each cost as a fraction of its limit: 1.0 is exactly at the limit."""
    return {budget.name: costs[budget.name] / budget.limit for budget in budgets}


def within(costs: Costs, budgets: Sequence[Budget]) -> bool:
    """Whether every cost is at most its limit (≤ τ)."""
    return all(costs[budget.name] <= budget.limit for budget in budgets)


def far_over(costs: Costs, budgets: Sequence[Budget], factor: float) -> bool:
    """Whether any cost is above ``factor``·τ: the added module is then restricted to a single use (F.2.5)."""
    return any(costs[budget.name] > factor * budget.limit for budget in budgets)


def has_room(costs: Costs, budgets: Sequence[Budget], fraction: float, *, when_all: bool = False) -> bool:
    """Whether a parent is scaled up rather than adjusted in stage II (Algorithm 2, line 23).

    Args:
        fraction: 0.9 in the paper; room is a cost below ``fraction``·τ.
        when_all: every budget needs room (Table 5's reading) instead of any (line 23's, the default).
    """
    room = [costs[budget.name] < fraction * budget.limit for budget in budgets]
    return all(room) if when_all else any(room)
