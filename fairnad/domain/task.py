"""What a task brings when a setting is left empty, and what people are told about its images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

REFERENCE_SIZE = 32
"""The side in pixels that ``crop_padding`` refers to where a task has no image size of its own."""


@dataclass(frozen=True, slots=True)
class TaskDefaults:
    """The defaults of one task, as its pack states them.

    ``max_params`` is in elements, ``max_flops`` in multiply-adds an image; 0: :data:`DERIVED_LIMIT` times the costs of
    the base. ``image_size`` is the side in pixels, 0: what suits the images. ``num_train`` and ``num_validation`` count
    images, 0: all of the task's own split. ``flip_probability`` is the share of training images that are mirrored,
    ``crop_padding`` the zero pixels at each side a crop may reach into, for ``image_size`` or :data:`REFERENCE_SIZE`.
    ``scale_base`` says whether a search widens the base to its limits before it starts.
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

    def padding(self, image_size: int) -> int:
        """The crop padding in pixels for images of another side."""
        return round(self.crop_padding * image_size / (self.image_size or REFERENCE_SIZE))


DERIVED_LIMIT = 4
"""What a limit nobody states is as a multiple of the base's cost: room to double both width and depth, or nearly so."""


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
    """What a task is made of, for people.

    ``place`` is where its files lie, empty where it needs none. ``num_held_out`` is ``None`` where counting the
    images would open files that stay closed during a search. ``class_counts`` counts the images to train on,
    ``left_out`` the files that are not used; ``examples`` names some of them. A notice is a whole sentence.
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
        """How many times as many images the largest class has as the smallest."""
        return max(self.class_counts.values()) / max(min(self.class_counts.values()), 1)
