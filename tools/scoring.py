"""Accuracies no candidate can forge: logits of images without labels, asked for more than once, scored here.

The labels exist in this process alone. A second prediction sees the same images in another order and in batches of
another size, a third some of them one at a time. What a network says of an image must not depend on that: where it
does, it reads its batch, counts its calls, or draws at random, and its accuracy would mean nothing.
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
from tools.sandbox.job import LOGITS_FILE
from tools.slots import Slot
from tools.training_jobs import PREDICT_BATCH_SIZE, TrainingJobs

Logits = NDArray[np.float32]

NUM_SINGLES = 32
"""How many images are also shown alone."""
_OTHER_BATCH_SIZE = 96
_ORDER_SEEDS = (5819, 2837)


def accuracy_of(logits: Logits, labels: NDArray[np.int64]) -> float:
    """The share of images whose largest logit is their label's; a row that holds a NaN is wrong.

    Args:
        logits: shape (N, num_classes).
        labels: shape (N,).
    """
    correct = (logits.argmax(axis=1) == labels) & ~np.isnan(logits).any(axis=1)
    return float(correct.mean())


@dataclass(frozen=True, slots=True, eq=False)
class Exam:
    """The same images on disk in two orders of our own, and some of the first, with the labels of the first order.

    ``again`` are the positions in the first order of those in the second. No job is told either order.
    """

    images: Path
    reordered: Path
    singles: Path
    labels: NDArray[np.int64]
    again: NDArray[np.int64]

    @property
    def num_singles(self) -> int:
        """How many of the first order are shown alone."""
        return min(NUM_SINGLES, len(self.labels))


def write_exam(folder: Path, name: str, split: Split) -> Exam:
    """Write a split's images where jobs can map them, shuffled: a position says nothing about a label.

    Raises:
        OSError: the folder cannot be written.
    """
    first, again = (np.random.default_rng(seed).permutation(len(split.labels)) for seed in _ORDER_SEEDS)
    images = split.images[first]
    exam = Exam(
        images=folder / f"{name}-images.npy",
        reordered=folder / f"{name}-images-reordered.npy",
        singles=folder / f"{name}-images-single.npy",
        labels=split.labels[first],
        again=again,
    )
    np.save(exam.images, images)
    np.save(exam.reordered, images[again])
    np.save(exam.singles, images[: exam.num_singles])
    return exam


@dataclass(frozen=True, slots=True)
class Scored:
    """An accuracy in [0, 1] with what was found on the way; ``check_seconds`` of the time went into asking again."""

    accuracy: float
    seconds: float
    check_seconds: float
    findings: tuple[Finding, ...]


class Scorer:
    """Scores the networks of one task. Where integrity is not judged, it asks once."""

    def __init__(self, jobs: TrainingJobs, integrity: Integrity) -> None:
        self._jobs = jobs
        self._integrity = integrity

    async def score(
        self,
        source: str,
        weights: bytes,
        exam: Exam,
        *,
        seed: int,
        slot: Slot,
        undecided: bool = False,
        tolerance: Tolerance = FLOAT32,
    ) -> Scored | Failure:
        """The accuracy of a network with these weights, or why there is none.

        Args:
            undecided: whether the check could not say that the logits depend on the image.
            slot: where the predictions run.
            tolerance: by how much two answers may differ, which depends on the precision of the prediction.

        Raises:
            StoppingError: the lab is being stopped.
            LabError: the sandbox broke.
        """
        interview = _Interview(slot, self._jobs, source, weights, seed, tolerance)
        try:
            first = await interview.ask(exam.images, len(exam.labels))
            first_seconds = interview.seconds
            finding = await interview.doubt(exam, first) if self._integrity != "off" else None
            if finding is None and undecided and not differs_between_images(first):
                finding = Finding(FailureKind.INTEGRITY, SAME_FOR_ALL)
        except _JobFailedError as error:
            return error.failure
        if finding is not None and self._integrity == "reject":
            return Failure(Step.TRAIN, finding.kind, finding.message)
        return Scored(
            accuracy=accuracy_of(first, exam.labels),
            seconds=interview.seconds,
            check_seconds=interview.seconds - first_seconds,
            findings=(finding,) if finding is not None else (),
        )


@dataclass(slots=True, eq=False)
class _Interview:
    """Predictions of one trained network; ``seconds`` is what they took so far."""

    slot: Slot
    jobs: TrainingJobs
    source: str
    weights: bytes
    seed: int
    tolerance: Tolerance
    seconds: float = 0.0

    async def ask(self, images: Path, num_images: int, batch_size: int = PREDICT_BATCH_SIZE) -> Logits:
        """The logits of images in a process of their own, float32 (N, num_classes)."""
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
        if predicted.failure is not None:
            raise _JobFailedError(predicted.failure)
        return np.frombuffer(predicted.deliveries[LOGITS_FILE], "<f4").reshape(num_images, -1)

    async def doubt(self, exam: Exam, first: Logits) -> Finding | None:
        """Ask again otherwise; ``None`` where the network says the same each time."""
        again = await self.ask(exam.reordered, len(exam.labels), _OTHER_BATCH_SIZE)
        seen = compare(first[exam.again], again, self.tolerance)
        how = "in another order and other batches"
        if seen.agrees:
            singles = await self.ask(exam.singles, exam.num_singles, 1)
            seen = compare(first[: exam.num_singles], singles, self.tolerance)
            how = "one at a time"
        if seen.agrees:
            return None
        # One that reads its batch or its position says the same again, one that draws at random does not.
        repeated = compare(first, await self.ask(exam.images, len(exam.labels)), self.tolerance)
        if repeated.agrees:
            return Finding(FailureKind.BATCH_LEAKAGE, f"the same images {how}: {seen}")
        return Finding(FailureKind.NOT_DETERMINISTIC, f"the same images in the same batches: {repeated}")


class _JobFailedError(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure
