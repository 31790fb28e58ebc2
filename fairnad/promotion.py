"""Successive halving: many candidates are trained cheaply, and the best are trained again by a better recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairnad.candidate import Evaluation
from fairnad.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Rung:
    """What one recipe brought: evaluations by candidate id, in the order of the rung below.

    Rung 0 is the search itself. Only accuracies of one rung are compared.

    Raises:
        ValueError: an evaluation is of another recipe.
    """

    recipe: Recipe
    evaluations: Mapping[str, Evaluation]

    def __post_init__(self) -> None:
        for candidate_id, evaluation in self.evaluations.items():
            if evaluation.recipe_digest != self.recipe.digest:
                raise ValueError(
                    f"{candidate_id} was trained by recipe {evaluation.recipe_digest}, "
                    f"the rung is of {self.recipe.name} ({self.recipe.digest})"
                )

    @property
    def ranking(self) -> tuple[str, ...]:
        """Candidate ids, best validation accuracy first, ties in the order of the rung below."""
        return tuple(sorted(self.evaluations, key=lambda candidate_id: -self.evaluations[candidate_id].accuracy))


def promoted(ranking: Sequence[str], one_in: int, least: int) -> tuple[str, ...]:
    """The first of every ``one_in``, but not fewer than ``least`` where there are as many."""
    return tuple(ranking[: max(math.ceil(len(ranking) / one_in), least)])
