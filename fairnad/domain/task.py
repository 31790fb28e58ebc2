"""The defaults of a task, and the report on its images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from fairnad.domain.objective import ACCURACY, OBJECTIVES

REFERENCE_SIZE = 32
"""The image size in pixels to which ``crop_padding`` refers if a task has no image size."""


@dataclass(frozen=True, slots=True)
class TaskDefaults:
    """The defaults of one task, from its pack.

    ``max_params`` is in elements, ``max_flops`` in multiply-adds per image; 0: :data:`DERIVED_LIMIT` times the cost of
    the base. ``image_size`` is the side in pixels; 0: derived from the images. ``num_train`` and ``num_validation``
    count images; 0: the whole split. ``flip_probability`` is the share of mirrored training images. ``crop_padding``
    is the zero padding in pixels for random crops at ``image_size``, or at :data:`REFERENCE_SIZE`. ``scale_base``:
    widen the base to its limits before a search. ``objective`` is a name of
    :data:`fairnad.domain.objective.OBJECTIVES`.
    """

    base: str
    recipe: str
    max_params: float
    max_flops: float
    image_size: int
    num_train: int
    num_validation: int
    flip_probability: float
    crop_padding: int
    scale_base: bool = False
    objective: str = ACCURACY.name

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            known = ", ".join(sorted(OBJECTIVES))
            raise ValueError(f"expected an objective among {known}, found {self.objective!r}")

    def padding(self, image_size: int) -> int:
        """The crop padding in pixels for images of another side."""
        return round(self.crop_padding * image_size / (self.image_size or REFERENCE_SIZE))


DERIVED_LIMIT = 4
"""Unset limits are this multiple of the base's cost: room to nearly double width and depth."""


class LeftOut(StrEnum):
    """Why a file of an image folder is not used."""

    EMPTY = "empty"
    NO_IMAGE = "no image"
    FOREIGN = "of a format that is not read"
    BROKEN = "broken"
    UNREADABLE = "not readable"
    HUGE = "over 100 megapixels"
    DUPLICATE = "duplicate"
    AMBIGUOUS = "same file in several classes"
    STRAY = "outside the class folders"


@dataclass(frozen=True, slots=True)
class TaskReport:
    """The content of a task, for display.

    ``place`` is the folder of its files, or empty. ``num_held_out`` is ``None`` if counting would open files that stay
    closed during a search. ``class_counts`` counts training images, ``left_out`` unused files, and ``examples`` names
    some of these. Each notice is a sentence.
    """

    task: str
    place: str
    image_size: int
    num_train: int
    num_validation: int
    num_held_out: int | None
    class_counts: Mapping[str, int]
    left_out: Mapping[LeftOut, int]
    examples: Mapping[LeftOut, tuple[str, ...]]
    notices: tuple[str, ...]

    @property
    def imbalance(self) -> float:
        """The number of images of the largest class divided by the smallest's."""
        return max(self.class_counts.values()) / max(min(self.class_counts.values()), 1)
