"""Small data sets in the formats of the published ones; every image tells its number in its first two bytes."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tools.datasets.splits import Split


def numbered_images(num_images: int, shape: tuple[int, ...], first: int = 0) -> np.ndarray:
    """Images that tell their number in their first two values."""
    images = np.full((num_images, *shape), 128, np.uint8)
    numbers = np.arange(first, first + num_images)
    images.reshape(num_images, -1)[:, 0] = numbers // 256
    images.reshape(num_images, -1)[:, 1] = numbers % 256
    return images


def numbers_of(split: Split) -> list[int]:
    """The numbers of a split's images, in its order."""
    values = split.images[:, 0].reshape(len(split), -1).astype(int)
    return list(values[:, 0] * 256 + values[:, 1])


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def write_fashion(folder: Path, *, packed: bool = True) -> Path:
    """120 training images of 8 pixels a side, 12 a class, and 20 test images."""
    folder.mkdir(parents=True)
    for prefix, num_images in (("train", 120), ("t10k", 20)):
        for name, array in (
            (f"{prefix}-images-idx3-ubyte", numbered_images(num_images, (8, 8))),
            (f"{prefix}-labels-idx1-ubyte", np.arange(num_images) % 10),
        ):
            content = idx_bytes(array)
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return folder


Make = Callable[[int, tuple[int, ...], int], np.ndarray]


def write_cifar10(data: Path, *, num_images: int = 20, make: Make = numbered_images) -> Path:
    """Five training batches and a test batch of as many images each, as Python 2 wrote them."""
    folder = data / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for position, name in enumerate([*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]):
        labels = [index % 10 for index in range(num_images)]
        images = make(num_images, (3072,), num_images * position)
        batch = {b"data": images, b"labels": labels, b"batch_label": b"a batch"}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return folder


def write_cifar100(data: Path, *, num_train: int = 400, num_test: int = 200, make: Make = numbered_images) -> Path:
    """The files train, test and meta; test images are numbered on from the training images."""
    folder = data / "cifar-100-python"
    folder.mkdir(parents=True)
    for name, num_images, first in (("train", num_train, 0), ("test", num_test, num_train)):
        labels = [index % 100 for index in range(num_images)]
        batch = {
            b"filenames": [b"image.png"] * num_images,
            b"fine_labels": labels,
            b"coarse_labels": [label // 5 for label in labels],
            b"data": make(num_images, (3072,), first),
        }
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    names = [f"kind {number}".encode() for number in range(100)]
    (folder / "meta").write_bytes(pickle.dumps({b"fine_label_names": names, b"coarse_label_names": []}, protocol=2))
    return folder


def write_imagenet16(data: Path, *, make: Make = numbered_images) -> Path:
    """Ten training batches of 60 images and val_data of 300, classes 1 to 150, as Python 3 wrote them."""
    folder = data / "ImageNet16"
    folder.mkdir(parents=True)
    sizes = {f"train_data_batch_{number}": 60 for number in range(1, 11)} | {"val_data": 300}
    first = 0
    for name, num_images in sizes.items():
        labels = [1 + index % 150 for index in range(first, first + num_images)]
        batch = {"data": make(num_images, (768,), first), "labels": labels, "mean": np.zeros(768)}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=3))
        first += num_images
    return folder


def write_split(path: Path, **lists: Sequence[int]) -> Path:
    """A split file in the form of the official ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({name: ["int", [str(number) for number in numbers]] for name, numbers in lists.items()}))
    return path


def write_image(path: Path, number: int, size: tuple[int, int] = (8, 8)) -> Path:
    """A grey image that tells its number in its first two pixels."""
    pixels = np.full(size[::-1], 128, np.uint8)
    pixels.ravel()[:2] = number // 256, number % 256
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_classes(folder: Path, counts: dict[str, int], first: int = 0) -> int:
    """So many images of each class, numbered on; the number behind the last comes back."""
    for name, count in counts.items():
        for number in range(first, first + count):
            write_image(folder / name / f"{number:05}.png", number)
        first += count
    return first
