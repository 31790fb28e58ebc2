"""What a task brings when a setting is left empty: base, recipe, budgets, images and augmentation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TaskDefaults:
    """The defaults of one task, as its pack states them.

    ``max_params`` is in elements, ``max_flops`` in multiply-adds an image, ``image_size`` the side in pixels.
    ``num_train`` and ``num_validation`` count images, 0: all of the task's own split. ``flip_probability`` is the
    share of training images that are mirrored, ``crop_padding`` the zero pixels at each side a crop may reach into.
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
