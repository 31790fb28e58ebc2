"""Scores that candidates cannot forge: several jobs predict images without labels, and this process scores them.

Labels exist only in this process. A second prediction gets the same images in another order and in batches of another
size, a third gets some of them one at a time. If the outputs differ, the network reads its batch, counts its calls, or
draws random numbers, and its score is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fairnad.records.candidate import Failure, FailureKind, Finding, Step
from fairnad.settings.search_settings import Integrity
from tools.agreement import FLOAT32, SAME_FOR_ALL, Tolerance, compare, differs_between_images
from tools.datasets.tasks import Split
from tools.sandbox.job import LOGITS_FILE, FailedJobError
from tools.slots import Slot
from tools.training_jobs import PREDICT_BATCH_SIZE, TrainingJobs

Logits = NDArray[np.float32]

NUM_SINGLES = 32
"""Images that are also predicted one at a time."""
_OTHER_BATCH_SIZE = 96
_ORDER_SEEDS = (5819, 2837)


@dataclass(frozen=True, slots=True, eq=False)
class BlindSplit:
    """Images on disk in two random orders, and the first few once more, with the labels of the first order.

    ``again`` holds the positions in the first order of the images of the second. Jobs do not know the orders.
    """

    images: Path
    reordered: Path
    singles: Path
    labels: NDArray[np.int64]
    again: NDArray[np.int64]

    @property
    def num_singles(self) -> int:
        """The number of images that are also predicted one at a time."""
        return min(NUM_SINGLES, len(self.labels))


def write_blind_split(folder: Path, name: str, split: Split) -> BlindSplit:
    """Write the images of a split for jobs to map, shuffled, so that positions do not reveal labels.

    Raises:
        OSError: the folder cannot be written.
    """
    first, again = (np.random.default_rng(seed).permutation(len(split.labels)) for seed in _ORDER_SEEDS)
    images = split.images[first]
    blind = BlindSplit(
        images=folder / f"{name}-images.npy",
        reordered=folder / f"{name}-images-reordered.npy",
        singles=folder / f"{name}-images-single.npy",
        labels=split.labels[first],
        again=again,
    )
    np.save(blind.images, images)
    np.save(blind.reordered, images[again])
    np.save(blind.singles, images[: blind.num_singles])
    return blind


@dataclass(frozen=True, slots=True)
class Scored:
    """A value of the objective with findings; ``check_seconds`` of the time were spent on repeated predictions."""

    accuracy: float
    seconds: float
    check_seconds: float
    findings: tuple[Finding, ...]


class Scorer:
    """Scores the networks of one task, by a single prediction if integrity is not judged."""

    def __init__(self, jobs: TrainingJobs, integrity: Integrity) -> None:
        self._jobs = jobs
        self._integrity = integrity

    async def score(
        self,
        source: str,
        weights: bytes,
        blind: BlindSplit,
        *,
        seed: int,
        slot: Slot,
        undecided: bool = False,
        tolerance: Tolerance = FLOAT32,
    ) -> Scored | Failure:
        """Score a network with these weights.

        Args:
            undecided: whether the check could not decide if the logits depend on the input.
            slot: runs the predictions.
            tolerance: of differences between predictions, depending on their precision.
        """
        objective = self._jobs.task.objective
        predictions = _Predictions(slot, self._jobs, source, weights, seed, tolerance)
        try:
            first = await predictions.predict(blind.images, len(blind.labels))
            first_seconds = predictions.seconds
            finding = await predictions.verify(blind, first) if self._integrity != "off" else None
            if finding is None and undecided and not differs_between_images(first):
                finding = Finding(FailureKind.INTEGRITY, SAME_FOR_ALL)
        except FailedJobError as error:
            return error.failure
        if finding is not None and self._integrity == "reject":
            return Failure(Step.TRAIN, finding.kind, finding.message)
        return Scored(
            accuracy=objective.aggregate(objective.score_examples(first, blind.labels)),
            seconds=predictions.seconds,
            check_seconds=predictions.seconds - first_seconds,
            findings=(finding,) if finding is not None else (),
        )


@dataclass(slots=True, eq=False)
class _Predictions:
    """Predictions of one trained network; ``seconds`` is their total time."""

    slot: Slot
    jobs: TrainingJobs
    source: str
    weights: bytes
    seed: int
    tolerance: Tolerance
    seconds: float = 0.0

    async def predict(self, images: Path, num_images: int, batch_size: int = PREDICT_BATCH_SIZE) -> Logits:
        """The logits of images, float32 (N, num_classes), from a new process."""
        job = self.jobs.predict(
            self.source,
            self.weights,
            str(images),
            num_images,
            seed=self.seed,
            device=self.slot.device,
            batch_size=batch_size,
        )
        predicted = await self.slot.run(job)
        self.seconds += predicted.wall_seconds
        predicted.raise_failure()
        return np.frombuffer(predicted.deliveries[LOGITS_FILE], "<f4").reshape(num_images, -1)

    async def verify(self, blind: BlindSplit, first: Logits) -> Finding | None:
        """Predict again in other ways; ``None`` if the outputs agree."""
        again = await self.predict(blind.reordered, len(blind.labels), _OTHER_BATCH_SIZE)
        seen = compare(first[blind.again], again, self.tolerance)
        how = "in another order and other batches"
        if seen.agrees:
            singles = await self.predict(blind.singles, blind.num_singles, 1)
            seen = compare(first[: blind.num_singles], singles, self.tolerance)
            how = "one at a time"
        if seen.agrees:
            return None
        # A network that reads its batch or position repeats its outputs, one that draws random numbers does not.
        repeated = compare(first, await self.predict(blind.images, len(blind.labels)), self.tolerance)
        if repeated.agrees:
            return Finding(FailureKind.BATCH_LEAKAGE, f"the same images {how}: {seen}")
        return Finding(FailureKind.NOT_DETERMINISTIC, f"the same images in the same batches: {repeated}")
