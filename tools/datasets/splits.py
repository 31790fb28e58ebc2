"""Labelled images as arrays: splitting, resizing, statistics and digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Channels = tuple[float, float, float]

MIN_SIDE = 8
"""Minimum side of images in pixels: networks halve it two or three times."""

_PIECE = 4096
"""Images processed together, to limit the memory of sums over a large set."""


Indices = NDArray[np.int64]

SHARE = 1 / 5
"""The share of each class for validation, and for the held-out images, if there are no splits."""


class Part(StrEnum):
    """A part of a data set, named by a folder; without such folders all images are in ``TRAIN``."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Images, uint8 (N, 3, H, W), with their labels, int64 (N,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> Split:
        """Copies of some of the images, in the order of ``indices``."""
        return Split(self.images[indices], self.labels[indices])


def concatenate(splits: Iterable[Split]) -> Split:
    """Concatenate splits with images of one shape."""
    parts = list(splits)
    images = np.concatenate([split.images for split in parts])
    return Split(images, np.concatenate([split.labels for split in parts]))


def stratified_order(labels: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """A random permutation, int64 (N,), of which every slice has about the class proportions of ``labels``.

    Each class is shuffled and then spread evenly over the permutation.
    """
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        position[members] = (np.arange(len(members)) + generator.random()) / len(members)
    return np.argsort(position, kind="stable")


def share_out(labels: Indices, by_part: Mapping[Part, Indices], generator: np.random.Generator) -> dict[Part, Indices]:
    """Positions in ``labels`` for training, validation and the held-out images (``Part.TEST``), in stratified order.

    Existing parts keep their images. A missing validation part gets a fifth of each class of the training images, and a
    missing test part another fifth; if only the test part is missing, it gets half of the validation images, as in the
    paper for CIFAR-100.

    Args:
        labels: int64 (N,).
        by_part: the positions of each existing part; ``Part.TRAIN`` is not empty.
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
        order = _stratify(labels, by_part[Part.VALIDATION], generator)
        middle = (len(order) + 1) // 2
        shares |= {Part.VALIDATION: order[:middle], Part.TEST: order[middle:]}
    return {part: _stratify(labels, shares[part], generator) for part in Part}


def _draw(members: Indices, hold_out: bool) -> tuple[Indices, Indices, Indices]:
    num_drawn = max(round(len(members) * SHARE), 1)
    num_held_out = num_drawn if hold_out else 0
    ends = [len(members) - num_drawn - num_held_out, len(members) - num_held_out]
    train, validation, held_out = np.split(members, ends)
    return train, validation, held_out


def _by_class(labels: Indices, chosen: Indices, generator: np.random.Generator) -> list[Indices]:
    """The chosen images of each class, shuffled."""
    return [generator.permutation(chosen[labels[chosen] == label]) for label in np.unique(labels[chosen])]


def _stratify(labels: Indices, chosen: Indices, generator: np.random.Generator) -> Indices:
    return chosen[stratified_order(labels[chosen], generator)]


def prepare(split: Split, size: int) -> Split:
    """The split with three channels and square images of side ``size``."""
    images = split.images
    if images.shape[2:] != (size, size):
        images = np.stack([_resize(image, size) for image in images])
    if images.shape[1] == 1:
        images = np.repeat(images, 3, axis=1)
    return Split(np.ascontiguousarray(images), split.labels)


def _resize(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    from PIL import Image

    # Pillow uses integers, so that pixels and digest are the same on every machine.
    planes = [Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR) for plane in image]
    return np.stack([np.asarray(plane) for plane in planes])


def statistics(split: Split) -> tuple[Channels, Channels]:
    """Mean and standard deviation of each channel on the [0, 1] scale."""
    values = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(3):
        counts = np.zeros(256, np.int64)
        for piece in _pieces(split.images):
            counts += np.bincount(piece[:, channel].ravel(), minlength=256)
        shares = counts / counts.sum()
        mean = float(shares @ values)
        means.append(mean)
        deviations.append(float(np.sqrt(shares @ (values - mean) ** 2)))
    # Avoids division by 0 for a constant channel.
    return _channels(means), _channels(max(deviation, 1 / 255) for deviation in deviations)


def _channels(values: Iterable[float]) -> Channels:
    red, green, blue = (round(value, 6) for value in values)
    return red, green, blue


def digest(splits: Iterable[Split], normalisation: tuple[Channels, Channels]) -> str:
    """Twelve hexadecimal digits that depend on pixels, labels, order and normalisation."""
    content = hashlib.sha256()
    for split in splits:
        content.update(repr(split.images.shape).encode())
        for piece in _pieces(split.images):
            content.update(np.ascontiguousarray(piece).data)
        content.update(split.labels.astype("<i8").tobytes())
    content.update(repr(normalisation).encode())
    return content.hexdigest()[:12]


def _pieces(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(images), _PIECE):
        yield images[start : start + _PIECE]
