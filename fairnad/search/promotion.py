"""Successive halving: many candidates are trained cheaply, and the best are trained again by a better recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fairnad.domain.recipe import Recipe
from fairnad.records.candidate import Evaluation
from fairnad.settings.search_settings import SearchSettings

Item = TypeVar("Item")


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


@dataclass(frozen=True, slots=True)
class Ending:
    """What is trained once a search has ended: candidates on each rung above it, then the finals.

    ``worth`` is all of it in trainings of the search's own recipe, by number of epochs.
    """

    num_promotions: int
    num_finals: int
    worth: float

    @property
    def num_trainings(self) -> int:
        """All of it."""
        return self.num_promotions + self.num_finals


def ending(search: SearchSettings, num_trained: int, recipes: Sequence[Recipe]) -> Ending:
    """What follows a search that has trained so many, where nobody fails; ``recipes`` are those of the rungs."""
    sizes = [num_trained]
    for _ in recipes[1:]:
        sizes.append(len(promoted(range(sizes[-1]), search.promote_one_in, search.finalists)))
    num_finals = (min(search.finalists, num_trained) + 1) * search.confirm_seeds
    lengths = [recipe.num_epochs / recipes[0].num_epochs for recipe in recipes]
    worth = sum(size * length for size, length in zip(sizes[1:], lengths[1:], strict=True))
    return Ending(sum(sizes[1:]), num_finals, worth + num_finals * lengths[-1])


def promoted(ranking: Sequence[Item], one_in: int, least: int) -> tuple[Item, ...]:
    """The first of every ``one_in``, but not fewer than ``least`` where there are as many."""
    return tuple(ranking[: max(math.ceil(len(ranking) / one_in), least)])
