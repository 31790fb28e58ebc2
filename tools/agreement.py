"""When two sets of logits for the same images say the same: the tolerances of the integrity verdicts.

What is computed for one image must not depend on the order, the size or the rest of its batch. Sums are rounded
otherwise in another batch, so that equal networks differ by some millionths; nothing honest differs by more than that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROUNDING = 1e-5
"""What float32 may lose of the largest logit between two orders of summing."""
_MAX_SHARE = 1e-3
"""The share of images that may move or change their class: a hard decision inside a network can tip by rounding."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """``moved``: how far a logit may be off, as a share of the deviation of the logits between images."""

    moved: float


FLOAT32 = Tolerance(moved=1e-3)
MIXED_PRECISION = Tolerance(moved=5e-2)
"""Half-precision products keep three digits."""


_SAME = 1e-6
SAME_FOR_ALL = "the logits are the same whatever the image is"
UNDECIDED = "cannot be judged yet"
"""The beginning of a finding that leaves the verdict to the scoring of the trained network."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two answers to the same images.

    ``num_moved`` images have a logit beyond the tolerance, ``num_flipped`` another largest logit; ``largest`` is the
    largest difference as a share of the deviation between images, infinite where one of the two is no number.
    """

    num_images: int
    num_moved: int
    num_flipped: int
    largest: float

    @property
    def agrees(self) -> bool:
        """Whether no more images are off than a tipping decision explains: one in a thousand, rounded up."""
        return max(self.num_moved, self.num_flipped) <= math.ceil(_MAX_SHARE * self.num_images)

    @property
    def is_same(self) -> bool:
        """Whether no image is off at all."""
        return not self.num_moved and not self.num_flipped

    def __str__(self) -> str:
        by = f"{self.largest:.2g}" if math.isfinite(self.largest) else "more than can be said"
        return (
            f"{self.num_moved} of {self.num_images} images off by up to {by} of the logits' deviation, "
            f"{self.num_flipped} with another class"
        )


def compare(one: NDArray[np.float32], other: NDArray[np.float32], tolerance: Tolerance = FLOAT32) -> Comparison:
    """Compare two sets of logits, each of shape (N, num_classes), N ≥ 1, image by image.

    Numbers that are not finite agree with themselves alone.
    """
    finite = np.isfinite(one)
    magnitude = float(np.abs(one[finite]).max()) if finite.any() else 0.0
    deviation = float(np.where(finite, one, 0).std(axis=0, dtype=np.float64).max())
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(one.astype(np.float64) - other.astype(np.float64)))
    difference[np.isnan(difference)] = np.inf
    allowed = tolerance.moved * deviation + _ROUNDING * magnitude
    return Comparison(
        num_images=len(one),
        num_moved=int((difference > allowed).any(axis=1).sum()),
        num_flipped=int((one.argmax(axis=1) != other.argmax(axis=1)).sum()),
        largest=float(difference.max()) / deviation if deviation else math.inf if difference.any() else 0.0,
    )


def differs_between_images(logits: NDArray[np.float32], share: float = _SAME) -> bool:
    """Whether logits, of shape (N, num_classes), differ between images by more than a share of the largest one."""
    return bool(np.abs(logits - logits[:1]).max() > share * np.abs(logits).max())
