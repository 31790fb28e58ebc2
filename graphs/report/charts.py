"""Where the marks and lines of the report's charts lie, in the units of an SVG; the template draws them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from fairnad.domain.budget import Budget
from fairnad.formatting import quantity_text
from fairnad.records.history import History, Record, accuracy
from fairnad.search import pareto

HEIGHT = 280
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 22, 44
"""Room around the plotting area for ticks and labels."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear scale from ``low``, at ``start``, to ``high``, at ``end``."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float, *, at_least: float) -> Axis:
        """A scale with some room around ``values``, which spans ``at_least`` also where they are all the same."""
        low, high = min(values := list(values)), max(values)
        margin = max(0.06 * (high - low), (at_least - (high - low)) / 2)
        return cls(low - margin, high + margin, start, end)

    def at(self, value: float) -> float:
        """Where ``value`` lies; what lies outside the scale is put on its end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, text: Callable[[float], str]) -> list[tuple[float, str]]:
        """(place, text) of about five round numbers."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        numbers = range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        return [(self.at(number * step), text(number * step)) for number in numbers]


@dataclass(frozen=True, slots=True)
class Mark:
    """A trained record; ``below`` where its accuracy lies under the chart and the mark on the chart's lower edge."""

    x: float
    y: float
    record: Record
    below: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """Validation accuracies over something; ``line`` is the path of a step line, ``base_y`` where the base lies."""

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
    """The course of the search, then one chart a budget; none while nothing has trained."""
    if not any(record.trained for record in history.records):
        return []
    return [_course(history), *(_trade_off(history, budget) for budget in budgets)]


def step_line(points: Iterable[tuple[float, float]]) -> str:
    """An SVG path from point to point, first across and then up; empty without points."""
    path = ""
    for x, y in points:
        path += f"H{x}V{y}" if path else f"M{x} {y}"
    return path


def frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The (cost, accuracy) points that no other dominates, cheapest first."""
    rank = pareto.ranks(np.array([(cost, -gained) for cost, gained in points]).reshape(-1, 2))
    return sorted({point for point, level in zip(points, rank, strict=True) if level == 0})


def _course(history: History) -> Chart:
    width, base = 640, history.base
    x = Axis(0.0, max(len(history.trained), 5) + 0.5, LEFT, width - RIGHT)
    y = _accuracy_axis(history)
    places = {record.candidate_id: number for number, record in enumerate(history.trained, 1)}
    best_so_far = accumulate(map(accuracy, history.trained), max)
    return Chart(
        title="Every trained candidate",
        x_label="trained candidates, in the order they were drawn (0: the base)",
        width=width,
        x_ticks=x.ticks("{:.0f}".format),
        y_ticks=_accuracy_ticks(y),
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
    y = _accuracy_axis(history)
    best = frontier([(cost(record), accuracy(record)) for record in trained])
    return Chart(
        title=f"Accuracy against {budget.name}",
        x_label=budget.unit,
        width=width,
        x_ticks=x.ticks(quantity_text),
        y_ticks=_accuracy_ticks(y),
        marks=_marks(history, lambda record: x.at(cost(record)), y),
        line=step_line((x.at(spent), y.at(gained)) for spent, gained in best),
        limit_x=x.at(budget.limit),
        limit_text=f"limit {quantity_text(budget.limit)}",
    )


def _accuracy_axis(history: History) -> Axis:
    """Over all but the lowest few accuracies where those lie so far off that they would flatten the rest."""
    values = sorted(accuracy(record) for record in history.records if record.trained)
    usual = values[len(values) // 10]
    floor = usual - 1.5 * (values[-1] - usual)
    if history.base is not None and history.base.trained:
        floor = min(floor, accuracy(history.base))
    shown = [value for value in values if value >= floor]
    return Axis.over(shown, HEIGHT - BOTTOM, TOP, at_least=0.02)


def _accuracy_ticks(axis: Axis) -> list[tuple[float, str]]:
    decimals = 2 if axis.high - axis.low >= 0.05 else 3
    return axis.ticks(f"{{:.{decimals}f}}".format)


def _marks(history: History, x: Callable[[Record], float], y: Axis) -> list[Mark]:
    trained = [record for record in history.records if record.trained]
    return [Mark(x(record), y.at(value), record, value < y.low) for record in trained for value in [accuracy(record)]]
