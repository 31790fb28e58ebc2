"""Thompson sampling over options whose success rate and cost are learned from the history. Pure.

Each option's success rate has a Beta belief that starts from a prior worth a few trials. A choice draws one rate from
each belief, divides it by the option's mean cost and takes the option with the most success per cost. The best option
is taken most often; the others are tried as long as they might be better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Belief:
    """The belief about one option: successes, trials, and the total cost of the trials.

    ``num_successes`` may count partial successes; it lies strictly between 0 and ``num_trials``.
    """

    num_successes: float
    num_trials: float
    cost: float

    @classmethod
    def prior(cls, success_rate: float, cost_per_trial: float = 1.0, num_trials: float = 2.0) -> Belief:
        """A belief before any trial, worth ``num_trials`` trials."""
        return cls(success_rate * num_trials, num_trials, cost_per_trial * num_trials)

    @property
    def success_rate(self) -> float:
        """The expected success rate."""
        return self.num_successes / self.num_trials

    def after(self, num_successes: float, num_trials: float, cost: float) -> Belief:
        """The belief after more trials."""
        return Belief(self.num_successes + num_successes, self.num_trials + num_trials, self.cost + cost)

    def sample(self, generator: np.random.Generator) -> float:
        """A plausible number of successes per unit of cost."""
        rate = float(generator.beta(self.num_successes, self.num_trials - self.num_successes))
        return rate * self.num_trials / self.cost


def choose(beliefs: Mapping[str, Belief], generator: np.random.Generator) -> str:
    """The option with the highest sampled success per cost; among equals the first.

    Raises:
        ValueError: there are no options.
    """
    worth = {name: belief.sample(generator) for name, belief in beliefs.items()}
    return max(worth, key=lambda name: worth[name])
