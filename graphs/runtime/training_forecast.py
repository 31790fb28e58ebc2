"""How long the trainings of a search will take, measured on the base."""

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
"""The cost a training's time follows; where no budget is set on it, whichever leaves most room."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Trainings that are left, and what they take if all cost what the base cost, or all are at their limits.

    ``num_retrainings`` of the ``num_trainings`` follow the search; ``worth`` is all of them in trainings of the
    search's recipe. ``seconds_each`` is the base's training. Calls of language models come on top.
    """

    num_trainings: int
    num_retrainings: int
    worth: float
    num_slots: int
    seconds_each: float
    most_each: float

    @property
    def seconds(self) -> float:
        """For all of them, where each takes as long as the base."""
        return self._num_turns * self.seconds_each

    @property
    def most_seconds(self) -> float:
        """For all of them, where each candidate is as large as it may be."""
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
    """What a training is expected to take by the recipe the base was trained by, from its costs and the base's."""
    if not base.costs.get(_TIME_GROWS_WITH) or _TIME_GROWS_WITH not in costs:
        return base.seconds
    return base.seconds * costs[_TIME_GROWS_WITH] / base.costs[_TIME_GROWS_WITH]


def retraining_seconds(earlier: Evaluation | None, recipes: Sequence[Recipe], recipe: Recipe) -> float | None:
    """What training a candidate again by one of the run's recipes is expected to take; ``None`` where it never was."""
    return None if earlier is None else earlier.seconds * recipe.num_epochs / recipes[0].num_epochs


def forecast(
    context: RunContext, budgets: Sequence[Budget], history: History, num_slots: int, recipes: Sequence[Recipe]
) -> Forecast | None:
    """The forecast for what is left of a run; ``None`` until its base has trained, and when nothing is left.

    Args:
        recipes: the search's own and those its best are promoted to.
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
