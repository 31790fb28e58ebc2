"""The finals: finalists and base are trained again with fresh seeds, and the mean validation accuracy decides.

A search reports the highest of many validation accuracies, which is optimistic. The finals use seeds no candidate was
trained with before, choose by validation alone, and only then look at the held-out accuracy, which chooses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Literal, NamedTuple


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
class PairedDifference:
    """The mean difference of two networks over paired trainings, in the unit of the differences.

    ``deviation`` is the standard deviation of the ``n`` differences, ``low`` and ``high`` bound the 95% interval of
    Student's t; all three are ``None`` for a single pair, which says nothing about the noise.
    """

    mean: float
    n: int
    deviation: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, differences: Sequence[float]) -> PairedDifference:
        """The statistics of at least one difference."""
        from scipy.special import stdtrit

        n, middle = len(differences), mean(differences)
        if n == 1:
            return cls(middle, n)
        deviation = stdev(differences)
        half = float(stdtrit(n - 1, 0.975)) * deviation / n**0.5
        return cls(middle, n, deviation, middle - half, middle + half)

    @property
    def exceeds_noise(self) -> bool:
        """Whether the whole 95% interval is above 0."""
        return self.low is not None and self.low > 0


class Comparison(NamedTuple):
    """The winner minus the network it is compared with, and the images that was measured on."""

    images: Literal["held out", "validation"]
    difference: PairedDifference


@dataclass(frozen=True, slots=True)
class Finals:
    """Who took part, the finalists by rank and the base last, and who won; all trained by one recipe.

    ``rung`` says which of the run's recipes that was, from 0: the search's own. ``control_id`` names the network of
    about the limits' size that a person gets by widening alone: the base where the search widened it, else empty.
    """

    rung: int
    recipe_name: str
    recipe_digest: str
    base_id: str
    winner_id: str
    finalists: tuple[Finalist, ...]
    control_id: str = ""

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

    @property
    def base_title(self) -> str:
        """What the base is called in tables: ``control`` where it was widened to the limits."""
        return "control" if self.control_id == self.base_id else "base"

    @property
    def comparison(self) -> Comparison | None:
        """Winner minus base over the seeds both trained with, on held-out images if those are open.

        ``None`` where the base is the winner, or no seed trained both.
        """
        if self.winner_id == self.base_id:
            return None
        pairs = _differences(self.winner.held_out, self.base.held_out)
        if pairs:
            return Comparison("held out", PairedDifference.of(pairs))
        pairs = _differences(self.winner.validation, self.base.validation)
        return Comparison("validation", PairedDifference.of(pairs)) if pairs else None


def _differences(ours: Mapping[int, float], theirs: Mapping[int, float]) -> list[float]:
    return [ours[seed] - theirs[seed] for seed in ours if seed in theirs]


def winner_of(finalists: Sequence[Finalist], base_id: str) -> Finalist | None:
    """The highest mean validation accuracy among those that trained with the most seeds.

    Of equals the base wins, which a finalist has to beat, else the first.
    A finalist that failed with some seed is no match for one that trained with all: its mean leaves its failures out.
    ``None`` where nobody trained.
    """
    trained = [finalist for finalist in finalists if finalist.validation]
    if not trained:
        return None

    def rank(finalist: Finalist) -> tuple[int, float, bool]:
        return len(finalist.validation), mean(finalist.validation.values()), finalist.candidate_id == base_id

    return max(trained, key=rank)
