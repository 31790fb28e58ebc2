"""The finals: finalists and base are trained again with fresh seeds, and the mean validation accuracy decides.

A search reports the highest of many validation accuracies, which is optimistic. The finals use seeds no candidate was
trained with before, choose by validation alone, and only then look at the held-out accuracy, which chooses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean


@dataclass(frozen=True, slots=True)
class Finalist:
    """Accuracies in [0, 1] of one network by fresh seed; a seed whose training failed is missing.

    ``held_out`` holds the same trained networks' accuracies on images no search has seen; it is empty for all but
    winner and base, and everywhere on a task whose test images a search may not open.
    """

    candidate_id: str
    validation: Mapping[int, float]
    held_out: Mapping[int, float] = field(default_factory=dict)

    @property
    def best_seed(self) -> int:
        """The seed of the highest validation accuracy, the lowest of equals: whose weights are handed out.

        Raises:
            ValueError: no seed has trained.
        """
        if not self.validation:
            raise ValueError(f"{self.candidate_id} did not train with any fresh seed")
        return min(self.validation, key=lambda seed: (-self.validation[seed], seed))


@dataclass(frozen=True, slots=True)
class Finals:
    """Who took part, the finalists by rank and the base last, and who won; all trained by one recipe.

    ``rung`` says which of the run's recipes that was, from 0: the search's own.
    """

    rung: int
    recipe_name: str
    recipe_digest: str
    base_id: str
    winner_id: str
    finalists: tuple[Finalist, ...]

    def __post_init__(self) -> None:
        for candidate_id in (self.base_id, self.winner_id):
            self[candidate_id]

    def __getitem__(self, candidate_id: str) -> Finalist:
        """The finalist of that id.

        Raises:
            LookupError: it took no part.
        """
        for finalist in self.finalists:
            if finalist.candidate_id == candidate_id:
                return finalist
        raise LookupError(f"{candidate_id} took no part in the finals")

    def __contains__(self, candidate_id: object) -> bool:
        """Whether a candidate took part."""
        return any(finalist.candidate_id == candidate_id for finalist in self.finalists)

    @property
    def winner(self) -> Finalist:
        """Who won."""
        return self[self.winner_id]

    @property
    def base(self) -> Finalist:
        """The base model, which wins only where its mean is above every finalist's."""
        return self[self.base_id]


def winner_of(finalists: Sequence[Finalist]) -> Finalist | None:
    """The highest mean validation accuracy among those that trained with the most seeds; the first of equals.

    A finalist that failed with some seed is no match for one that trained with all: its mean leaves its failures out.
    ``None`` where nobody trained.
    """
    trained = [finalist for finalist in finalists if finalist.validation]
    if not trained:
        return None
    return max(trained, key=lambda finalist: (len(finalist.validation), mean(finalist.validation.values())))
