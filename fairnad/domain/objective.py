"""Objectives: the metric of trained networks, and its direction.

To add an objective, add a subclass and an entry of :data:`OBJECTIVES`. All comparisons, rankings and gains use these
methods; no other code depends on the direction of a metric.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Objective(ABC):
    """A metric with its direction and the unit of its differences.

    ``scale`` converts a difference of values into ``unit``; values have ``decimals`` digits in texts.
    """

    name: str
    unit: str
    higher_is_better: bool
    scale: float = 1.0
    decimals: int = 4

    @abstractmethod
    def score_examples(self, outputs: NDArray[np.float32], targets: NDArray[Any]) -> Scores:
        """Score each example.

        Args:
            outputs: shape (N, …), as the network returns them; they may hold NaN.
            targets: shape (N, …).

        Returns:
            Shape (N,).
        """

    def aggregate(self, scores: Scores) -> float:
        """The value of the metric, by default the mean of the scores."""
        return float(scores.mean())

    def gain(self, value: float, reference: float) -> float:
        """The difference to ``reference``, positive if ``value`` is better."""
        return value - reference if self.higher_is_better else reference - value

    def relative_gain(self, value: float, reference: float) -> float:
        """The gain as a share of ``reference``; 0 if ``reference`` is 0."""
        return self.gain(value, reference) / abs(reference) if reference else 0.0

    def is_better(self, value: float, other: float) -> bool:
        """Whether ``value`` is better than ``other``; equal values are not."""
        return value > other if self.higher_is_better else value < other

    def sort_key(self, value: float) -> float:
        """A key that sorts the best value first and NaN last; also a cost to minimise."""
        return math.inf if math.isnan(value) else -value if self.higher_is_better else value

    def best(self, values: Iterable[float]) -> float:
        """The best of at least one value."""
        return min(values, key=self.sort_key)

    def format(self, value: float) -> str:
        """The value without its name."""
        return f"{value:.{self.decimals}f}"

    def format_gain(self, gain: float) -> str:
        """A gain with its sign and unit, with one decimal."""
        return f"{self.scale * gain:+.1f} {self.unit}"


class Accuracy(Objective):
    """Top-1 accuracy in [0, 1] of classification; differences in percentage points."""

    def score_examples(self, outputs: NDArray[np.float32], targets: NDArray[Any]) -> Scores:
        """1 if the target has the largest class score, else 0. Scores: shape (N, num_classes); rows with NaN are 0."""
        correct: NDArray[np.bool_] = (outputs.argmax(axis=1) == targets) & ~np.isnan(outputs).any(axis=1)
        return correct.astype(np.float64)


ACCURACY = Accuracy("accuracy", unit="points", higher_is_better=True, scale=100.0)
OBJECTIVES: dict[str, Objective] = {ACCURACY.name: ACCURACY}
"""Every objective by name. Tasks, evaluations and finals name theirs."""
