"""Compares logits of the same images, with the tolerances of the integrity verdicts.

The logits of one image must not depend on the order, size or content of its batch. Honest networks differ only by
rounding, which depends on the batch, in the order of 1e-6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROUNDING = 1e-5
"""Tolerance for rounding, as a share of the largest logit."""
_MAX_SHARE = 1e-3
"""The share of images that may differ: rounding can flip a hard decision inside a network."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """``moved``: the allowed difference of a logit, as a share of its standard deviation between images."""

    moved: float


FLOAT32 = Tolerance(moved=1e-3)
MIXED_PRECISION = Tolerance(moved=5e-2)
"""For half precision, whose products have three digits."""


_SAME = 1e-6
SAME_FOR_ALL = "the logits do not depend on the image"
UNDECIDED = "cannot be judged yet"
"""Prefix of a finding that the scoring of the trained network has to decide."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference of two predictions of the same images.

    ``num_moved`` images have a logit beyond the tolerance, ``num_flipped`` another largest logit. ``largest`` is the
    largest difference as a share of the deviation between images, infinite if one logit is NaN.
    """

    num_images: int
    num_moved: int
    num_flipped: int
    largest: float

    @property
    def agrees(self) -> bool:
        """Whether at most one in a thousand images, rounded up, differs."""
        return max(self.num_moved, self.num_flipped) <= math.ceil(_MAX_SHARE * self.num_images)

    @property
    def is_same(self) -> bool:
        """Whether no image differs."""
        return not self.num_moved and not self.num_flipped

    def __str__(self) -> str:
        by = f"{self.largest:.2g}" if math.isfinite(self.largest) else "an infinite part"
        return (
            f"{self.num_moved} of {self.num_images} images off by up to {by} of the logits' deviation, "
            f"{self.num_flipped} with another class"
        )


def compare(one: NDArray[np.float32], other: NDArray[np.float32], tolerance: Tolerance = FLOAT32) -> Comparison:
    """Compare two sets of logits, each of shape (N, num_classes), N ≥ 1, image by image.

    Infinite numbers and NaN are equal only to themselves.
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
