"""A forecast of the training time of a search, from the training of the base."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairnad.domain.budget import Budget
from fairnad.domain.recipe import Recipe
from fairnad.formatting import count_text, rough_duration_text
from fairnad.records.candidate import Evaluation
from fairnad.records.history import History
from fairnad.search.promotion import ending
from fairnad.settings.search_settings import RunContext

_TIME_GROWS_WITH = "flops"
"""The cost that the training time is proportional to; if it has no budget, the budget with most room counts."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The remaining trainings and their time, for candidates as small as the base or as large as the limits.

    ``num_retrainings`` of the ``num_trainings`` follow the search; ``worth`` expresses all of them as trainings by the
    search recipe. ``seconds_each`` is the training time of the base. Calls of language models are not included.
    """

    num_trainings: int
    num_retrainings: int
    worth: float
    num_slots: int
    seconds_each: float
    most_each: float

    @property
    def seconds(self) -> float:
        """For all trainings, if each takes as long as the base."""
        return self._num_turns * self.seconds_each

    @property
    def most_seconds(self) -> float:
        """For all trainings, if each candidate is at its limits."""
        return self._num_turns * self.most_each

    @property
    def _num_turns(self) -> int:
        return math.ceil(self.worth / self.num_slots)

    def __str__(self) -> str:
        what = f"{count_text(self.num_trainings, 'training')} on {count_text(self.num_slots, 'slot')}"
        text = f"about {rough_duration_text(self.seconds)} for {what}"
        if rough_duration_text(self.most_seconds) != rough_duration_text(self.seconds):
            text += f", up to {rough_duration_text(self.most_seconds)} at the limits"
        return text


def training_seconds(base: Evaluation, costs: Mapping[str, float]) -> float:
    """Expected seconds of a training by the search recipe, from its costs and the base's."""
    if not base.costs.get(_TIME_GROWS_WITH) or _TIME_GROWS_WITH not in costs:
        return base.seconds
    return base.seconds * costs[_TIME_GROWS_WITH] / base.costs[_TIME_GROWS_WITH]


def retraining_seconds(earlier: Evaluation | None, recipes: Sequence[Recipe], recipe: Recipe) -> float | None:
    """Expected seconds of retraining a candidate by a recipe of the run; ``None`` if it was never trained."""
    return None if earlier is None else earlier.seconds * recipe.num_epochs / recipes[0].num_epochs


def forecast(
    context: RunContext, budgets: Sequence[Budget], history: History, num_slots: int, recipes: Sequence[Recipe]
) -> Forecast | None:
    """The forecast for the rest of a run; ``None`` until the base has trained, and when nothing is left.

    Args:
        recipes: the search recipe, then the recipes of the promotion.
    """
    base = history.base.evaluation if history.base is not None else None
    num_left = context.archs - len(history.trained)
    if base is None or num_left <= 0:
        return None
    after = ending(context.search, context.archs, recipes)
    room = {budget.name: budget.limit / base.costs[budget.name] for budget in budgets if base.costs[budget.name]}
    growth = room.get(_TIME_GROWS_WITH, max(room.values(), default=1.0))
    return Forecast(
        num_trainings=num_left + after.num_trainings,
        num_retrainings=after.num_trainings,
        worth=num_left + after.worth,
        num_slots=num_slots,
        seconds_each=base.seconds,
        most_each=base.seconds * max(growth, 1.0),
    )
