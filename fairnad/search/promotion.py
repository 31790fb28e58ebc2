"""Successive halving: train many candidates cheaply, then the best again by a longer recipe."""

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
    """Evaluations by one recipe, by candidate id, in the order of the rung below.

    Rung 0 is the search itself. Only values of one rung are compared.

    Raises:
        ValueError: an evaluation belongs to another recipe.
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
        """Candidate ids, the best first, ties in the order of the rung below."""

        def key(candidate_id: str) -> float:
            evaluation = self.evaluations[candidate_id]
            return evaluation.objective.sort_key(evaluation.accuracy)

        return tuple(sorted(self.evaluations, key=key))


@dataclass(frozen=True, slots=True)
class Ending:
    """The trainings after a search: candidates on each higher rung, then the finals.

    ``worth`` is their total length in trainings of the search's own recipe, by number of epochs.
    """

    num_promotions: int
    num_finals: int
    worth: float

    @property
    def num_trainings(self) -> int:
        """Promotions and finals together."""
        return self.num_promotions + self.num_finals


def ending(search: SearchSettings, num_trained: int, recipes: Sequence[Recipe]) -> Ending:
    """The trainings after a search with ``num_trained`` candidates if none fails; ``recipes``: one per rung."""
    sizes = [num_trained]
    for _ in recipes[1:]:
        sizes.append(len(promoted(range(sizes[-1]), search.promote_one_in, search.finalists)))
    num_finals = (min(search.finalists, num_trained) + 1) * search.confirm_seeds
    lengths = [recipe.num_epochs / recipes[0].num_epochs for recipe in recipes]
    worth = sum(size * length for size, length in zip(sizes[1:], lengths[1:], strict=True))
    return Ending(sum(sizes[1:]), num_finals, worth + num_finals * lengths[-1])


def promoted(ranking: Sequence[Item], one_in: int, least: int) -> tuple[Item, ...]:
    """The best ``1 / one_in`` of a ranking, at least ``least`` items if the ranking has them."""
    return tuple(ranking[: max(math.ceil(len(ranking) / one_in), least)])
