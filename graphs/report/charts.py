"""Coordinates of the report's charts in SVG units; the template draws them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from fairnad.domain.budget import Budget
from fairnad.domain.objective import Objective
from fairnad.formatting import quantity_text
from fairnad.records.history import History, Record, accuracy
from fairnad.search import pareto

HEIGHT = 280
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 22, 44
"""Margins around the plotting area for ticks and labels."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear scale from ``low``, at ``start``, to ``high``, at ``end``."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float, *, at_least: float) -> Axis:
        """A scale with a margin around ``values`` that spans at least ``at_least``."""
        low, high = min(values := list(values)), max(values)
        margin = max(0.06 * (high - low), (at_least - (high - low)) / 2)
        return cls(low - margin, high + margin, start, end)

    def at(self, value: float) -> float:
        """The coordinate of ``value``, clipped to the scale."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, text: Callable[[float], str]) -> list[tuple[float, str]]:
        """(coordinate, text) of about five round numbers."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        numbers = range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        return [(self.at(number * step), text(number * step)) for number in numbers]


@dataclass(frozen=True, slots=True)
class Mark:
    """A trained record; ``is_outside`` if its value lies off the chart and the mark on the chart's edge."""

    x: float
    y: float
    record: Record
    is_outside: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """Validation values over a cost or over time; ``line`` is a step line as an SVG path."""

    title: str
    x_label: str
    width: int
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    marks: Sequence[Mark]
    line: str
    base_y: float | None = None
    limit_x: float | None = None
    limit_text: str = ""
    height: int = field(default=HEIGHT, init=False)
    left: int = field(default=LEFT, init=False)
    top: int = field(default=TOP, init=False)
    bottom: int = field(default=HEIGHT - BOTTOM, init=False)

    @property
    def right(self) -> int:
        """The right edge of the plotting area."""
        return self.width - RIGHT


def charts(history: History, budgets: Sequence[Budget]) -> list[Chart]:
    """One chart over the course of the search and one per budget; empty before the first training."""
    if not any(record.trained for record in history.records):
        return []
    return [_course(history), *(_trade_off(history, budget) for budget in budgets)]


def step_line(points: Iterable[tuple[float, float]]) -> str:
    """An SVG path through the points, first horizontal and then vertical; empty without points."""
    path = ""
    for x, y in points:
        path += f"H{x}V{y}" if path else f"M{x} {y}"
    return path


def frontier(points: Sequence[tuple[float, float]], objective: Objective) -> list[tuple[float, float]]:
    """The (cost, value) points that no other dominates, cheapest first."""
    rank = pareto.ranks(np.array([(cost, objective.sort_key(value)) for cost, value in points]).reshape(-1, 2))
    return sorted({point for point, level in zip(points, rank, strict=True) if level == 0})


def _course(history: History) -> Chart:
    width, base = 640, history.base
    x = Axis(0.0, max(len(history.trained), 5) + 0.5, LEFT, width - RIGHT)
    y = _value_axis(history)
    places = {record.candidate_id: number for number, record in enumerate(history.trained, 1)}
    best_so_far = accumulate(map(accuracy, history.trained), lambda *pair: history.objective.best(pair))
    return Chart(
        title="Every trained candidate",
        x_label="trained candidates, in the order they were drawn (0: the base)",
        width=width,
        x_ticks=x.ticks("{:.0f}".format),
        y_ticks=_value_ticks(y),
        marks=_marks(history, lambda record: x.at(places.get(record.candidate_id, 0)), y),
        line=step_line((x.at(number), y.at(value)) for number, value in enumerate(best_so_far, 1)),
        base_y=y.at(accuracy(base)) if base is not None and base.trained else None,
    )


def _trade_off(history: History, budget: Budget) -> Chart:
    width = 400

    def cost(record: Record) -> float:
        assert record.evaluation is not None, "only trained records are charted"
        return record.evaluation.costs[budget.name]

    trained = [record for record in history.records if record.trained]
    costs = [*map(cost, trained), budget.limit]
    x = Axis.over(costs, LEFT, width - RIGHT, at_least=0.05 * max(costs))
    y = _value_axis(history)
    best = frontier([(cost(record), accuracy(record)) for record in trained], history.objective)
    return Chart(
        title=f"{history.objective.name.capitalize()} against {budget.name}",
        x_label=budget.unit,
        width=width,
        x_ticks=x.ticks(quantity_text),
        y_ticks=_value_ticks(y),
        marks=_marks(history, lambda record: x.at(cost(record)), y),
        line=step_line((x.at(spent), y.at(gained)) for spent, gained in best),
        limit_x=x.at(budget.limit),
        limit_text=f"limit {quantity_text(budget.limit)}",
    )


def _value_axis(history: History) -> Axis:
    """An axis over all values, except a few bad outliers that would flatten the rest."""
    objective = history.objective
    values = sorted((accuracy(record) for record in history.records if record.trained), key=objective.sort_key)
    usual = values[-1 - len(values) // 10]
    reach = 2.5 * objective.gain(values[0], usual)
    if history.base is not None and history.base.trained:
        reach = max(reach, objective.gain(values[0], accuracy(history.base)))
    shown = [value for value in values if objective.gain(values[0], value) <= reach]
    return Axis.over(shown, HEIGHT - BOTTOM, TOP, at_least=0.02)


def _value_ticks(axis: Axis) -> list[tuple[float, str]]:
    decimals = 2 if axis.high - axis.low >= 0.05 else 3
    return axis.ticks(f"{{:.{decimals}f}}".format)


def _marks(history: History, x: Callable[[Record], float], y: Axis) -> list[Mark]:
    trained = [record for record in history.records if record.trained]
    values = [(record, accuracy(record)) for record in trained]
    return [Mark(x(record), y.at(value), record, not y.low <= value <= y.high) for record, value in values]
