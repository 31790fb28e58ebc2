"""Sharing images out to train, to validate and to be held out, class by class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tools.datasets.folder_form import Part
from tools.datasets.splits import stratified_order

Indices = NDArray[np.int64]

SHARE = 1 / 5
"""Of each class, what validates, and what is held out, where the images come in no split."""


def share_out(labels: Indices, by_part: Mapping[Part, Indices], generator: np.random.Generator) -> dict[Part, Indices]:
    """What trains, validates and is held out (``Part.TEST``), as positions in ``labels``, in stratified order.

    A part that has images of its own keeps them. Where nothing validates, a fifth of each class to train on does, and
    where nothing is held out either, a further fifth is; where only that is missing, half of what validates is held
    out, as the paper does with CIFAR-100's test images.

    Args:
        labels: int64 (N,).
        by_part: the images each part has of its own; ``Part.TRAIN`` has some.
    """
    shares = dict(by_part)
    if Part.VALIDATION not in by_part:
        hold_out = Part.TEST not in by_part
        drawn = [_draw(members, hold_out) for members in _by_class(labels, by_part[Part.TRAIN], generator)]
        train, validation, held_out = (np.concatenate(indices) for indices in zip(*drawn, strict=True))
        shares |= {Part.TRAIN: train, Part.VALIDATION: validation}
        if hold_out:
            shares[Part.TEST] = held_out
    elif Part.TEST not in by_part:
        order = _stratified(labels, by_part[Part.VALIDATION], generator)
        middle = (len(order) + 1) // 2
        shares |= {Part.VALIDATION: order[:middle], Part.TEST: order[middle:]}
    return {part: _stratified(labels, shares[part], generator) for part in Part}


def _draw(members: Indices, hold_out: bool) -> tuple[Indices, Indices, Indices]:
    num_drawn = max(round(len(members) * SHARE), 1)
    num_held_out = num_drawn if hold_out else 0
    ends = [len(members) - num_drawn - num_held_out, len(members) - num_held_out]
    train, validation, held_out = np.split(members, ends)
    return train, validation, held_out


def _by_class(labels: Indices, chosen: Indices, generator: np.random.Generator) -> list[Indices]:
    """The chosen images of each class, shuffled."""
    return [generator.permutation(chosen[labels[chosen] == label]) for label in np.unique(labels[chosen])]


def _stratified(labels: Indices, chosen: Indices, generator: np.random.Generator) -> Indices:
    return chosen[stratified_order(labels[chosen], generator)]
