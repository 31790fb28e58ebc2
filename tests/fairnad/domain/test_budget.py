from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnad.domain.budget import Budget, far_over, has_room, load, within

PARAMS = Budget("params", "", 1_500_000)
FLOPS = Budget("flops", "", 200_000_000)
BUDGETS = (PARAMS, FLOPS)


def above(value: float) -> float:
    return math.nextafter(value, math.inf)


def below(value: float) -> float:
    return math.nextafter(value, 0)


@st.composite
def measured(draw: st.DrawFn) -> tuple[dict[str, float], list[Budget]]:
    """Costs against 1 to 4 budgets, often exactly at 0.5, 0.75, 1 or 1.5 times a limit."""
    limits = draw(st.lists(st.sampled_from([8.0, 16.0, 1024.0]), min_size=1, max_size=4))
    budgets = [Budget(f"cost {i}", "", limit) for i, limit in enumerate(limits)]
    loads = draw(st.lists(st.integers(1, 16).map(lambda i: i / 8), min_size=len(limits), max_size=len(limits)))
    return {budget.name: budget.limit * part for budget, part in zip(budgets, loads, strict=True)}, budgets


@given(measured())
def test_every_question_follows_from_the_load(case: tuple[dict[str, float], list[Budget]]) -> None:
    costs, budgets = case
    loads = load(costs, budgets)
    assert loads == {budget.name: costs[budget.name] / budget.limit for budget in budgets}
    assert within(costs, budgets) == (max(loads.values()) <= 1)
    assert far_over(costs, budgets, 1.5) == (max(loads.values()) > 1.5)
    assert has_room(costs, budgets, 0.75) == (min(loads.values()) < 0.75)
    assert has_room(costs, budgets, 0.75, when_all=True) == (max(loads.values()) < 0.75)


def test_a_cost_at_its_limit_is_within_and_the_next_number_is_not() -> None:
    assert within({"params": 1_500_000, "flops": 200_000_000}, BUDGETS)
    assert not within({"params": above(1_500_000), "flops": 1}, BUDGETS)
    assert not within({"params": 1, "flops": 200_000_001}, BUDGETS)


def test_a_single_use_is_asked_for_only_above_the_factor_and_by_any_budget() -> None:
    assert not far_over({"params": 2_250_000, "flops": 300_000_000}, BUDGETS, 1.5)
    assert far_over({"params": 2_250_001, "flops": 1}, BUDGETS, 1.5)
    assert far_over({"params": 1, "flops": above(300_000_000)}, BUDGETS, 1.5)


@pytest.mark.parametrize(
    ("params", "flops", "any_room", "all_room"),
    [
        (1_350_000, 180_000_000, False, False),
        (below(1_350_000), 180_000_000, True, False),
        (1_350_000, 179_999_999, True, False),
        (1_349_999, 179_999_999, True, True),
        (1_500_000, 1, True, False),
    ],
)
def test_room_ends_exactly_at_the_fraction(params: float, flops: float, any_room: bool, all_room: bool) -> None:
    costs = {"params": params, "flops": flops}
    assert has_room(costs, BUDGETS, 0.9) is any_room
    assert has_room(costs, BUDGETS, 0.9, when_all=True) is all_room


def test_costs_without_a_budget_are_not_looked_at() -> None:
    costs = {"params": 1_500_000, "flops": 1e12}
    assert within(costs, [PARAMS])
    assert not far_over(costs, [PARAMS], 1.5)
    assert load(costs, [PARAMS]) == {"params": 1.0}


@pytest.mark.parametrize("limit", [0, -1, math.nan])
def test_a_limit_that_is_not_above_zero_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match=f"the limit of params must be above 0, found {limit}"):
        Budget("params", "", limit)
