"""Labelled images as arrays: drawing, resizing, describing and telling them apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Channels = tuple[float, float, float]

MIN_SIDE = 8
"""The least side of images in pixels: networks halve it twice or three times."""

_PIECE = 4096
"""Images looked at together, so that sums over a large set need little memory beside it."""


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
    """One split of several that have images of the same shape."""
    parts = list(splits)
    images = np.concatenate([split.images for split in parts])
    return Split(images, np.concatenate([split.labels for split in parts]))


def stratified_order(labels: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """A random permutation, int64 (N,), of which every slice has the classes in the proportions of ``labels``.

    Each class is shuffled and then spread evenly over the permutation.
    """
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        position[members] = (np.arange(len(members)) + generator.random()) / len(members)
    return np.argsort(position, kind="stable")


def prepare(split: Split, size: int) -> Split:
    """The split with three channels and square images of ``size`` pixels a side."""
    images = split.images
    if images.shape[2:] != (size, size):
        images = np.stack([_resize(image, size) for image in images])
    if images.shape[1] == 1:
        images = np.repeat(images, 3, axis=1)
    return Split(np.ascontiguousarray(images), split.labels)


def _resize(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    from PIL import Image

    # Pillow computes in integers, so that the pixels, and with them the digest, are the same on every machine.
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
    # A channel of one single value is left as it is rather than divided by nothing.
    return _channels(means), _channels(max(deviation, 1 / 255) for deviation in deviations)


def _channels(values: Iterable[float]) -> Channels:
    red, green, blue = (round(value, 6) for value in values)
    return red, green, blue


def digest(splits: Iterable[Split], normalisation: tuple[Channels, Channels]) -> str:
    """Twelve hexadecimal digits that change with any pixel, label, order or normalisation."""
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
