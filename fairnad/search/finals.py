"""The finals: finalists and base are retrained with fresh seeds, and the mean validation value decides.

A search reports the best of many validation values, which is optimistic. The finals use new seeds, choose by
validation alone, and then report held-out values, which choose nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Literal, NamedTuple

from fairnad.domain.objective import ACCURACY, OBJECTIVES, Objective


@dataclass(frozen=True, slots=True)
class Finalist:
    """Values of the objective for one network by fresh seed; failed trainings are missing.

    ``held_out`` holds values of the same trained networks on held-out images, for winner and base only. It is empty
    on tasks whose test images a search may not open.
    """

    candidate_id: str
    validation: Mapping[int, float]
    held_out: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """The mean difference of two networks over paired trainings, in the unit of the differences.

    ``deviation`` is the standard deviation of the ``n`` differences; ``low`` and ``high`` bound the 95% interval
    (Student's t). All three are ``None`` for a single pair.
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
    """The winner's gain over the base, and the images on which it was measured."""

    images: Literal["held out", "validation"]
    difference: PairedDifference


@dataclass(frozen=True, slots=True)
class Finals:
    """Participants and winner of the finals, all trained by one recipe: finalists by rank, the base last.

    ``rung`` is the index of that recipe in the run; 0 is the search's own. ``control_id`` is the id of the base if
    the search widened it to its limits, else empty. ``metric`` names the objective.
    """

    rung: int
    recipe_name: str
    recipe_digest: str
    base_id: str
    winner_id: str
    finalists: tuple[Finalist, ...]
    control_id: str = ""
    metric: str = ACCURACY.name

    def __post_init__(self) -> None:
        for candidate_id in (self.base_id, self.winner_id):
            self[candidate_id]

    def __getitem__(self, candidate_id: str) -> Finalist:
        """The finalist of that id.

        Raises:
            LookupError: it did not take part.
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
        """The winner."""
        return self[self.winner_id]

    @property
    def objective(self) -> Objective:
        """The objective of the comparison."""
        return OBJECTIVES[self.metric]

    @property
    def best_seed(self) -> int:
        """The winner's seed with the best validation value, the lowest of equals. Its weights are delivered."""
        values = self.winner.validation
        return min(values, key=lambda seed: (self.objective.sort_key(values[seed]), seed))

    @property
    def base(self) -> Finalist:
        """The base model."""
        return self[self.base_id]

    @property
    def base_title(self) -> str:
        """The title of the base in tables: ``control`` if it was widened to the limits."""
        return "control" if self.control_id == self.base_id else "base"

    @property
    def comparison(self) -> Comparison | None:
        """The winner's gain over the base, paired by seed, on held-out images if these are open.

        ``None`` if the base is the winner, or no seed trained both.
        """
        if self.winner_id == self.base_id:
            return None
        pairs = self._gains(self.winner.held_out, self.base.held_out)
        if pairs:
            return Comparison("held out", PairedDifference.of(pairs))
        pairs = self._gains(self.winner.validation, self.base.validation)
        return Comparison("validation", PairedDifference.of(pairs)) if pairs else None

    def _gains(self, ours: Mapping[int, float], theirs: Mapping[int, float]) -> list[float]:
        return [self.objective.gain(ours[seed], theirs[seed]) for seed in ours if seed in theirs]


def winner_of(finalists: Sequence[Finalist], base_id: str, objective: Objective = ACCURACY) -> Finalist | None:
    """The finalist with the best mean validation value among the finalists with the most trained seeds.

    Finalists with failed seeds rank below, because their mean leaves out the failures. Ties go to the base, then to
    the first. ``None`` if nothing trained.
    """
    trained = [finalist for finalist in finalists if finalist.validation]
    if not trained:
        return None

    def rank(finalist: Finalist) -> tuple[int, float, bool]:
        key = objective.sort_key(mean(finalist.validation.values()))
        return -len(finalist.validation), key, finalist.candidate_id != base_id

    return min(trained, key=rank)
