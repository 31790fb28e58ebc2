"""Data sets for searches that take minutes: scikit-learn's digits and Fashion-MNIST."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fairnad.errors import TaskError
from tools.datasets.dataset_files import find_idx, read_idx
from tools.datasets.splits import Split, stratified_order
from tools.datasets.task_source import (
    SPLIT_SEED,
    DataRequest,
    Source,
    checked,
    first_with,
    missing,
    torchvision_command,
)

SYSTEM_FOLDER = Path("/usr/share/datasets")
"""Where Debian's data set packages put their files."""

_FASHION_NAMES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def digits(request: DataRequest) -> Source:
    """scikit-learn's 1,797 scanned digits, part of the package: 500 to train, 600 to validate, 697 held out."""
    pool = _read_digits()
    order = stratified_order(pool.labels, np.random.default_rng(SPLIT_SEED))
    return Source(
        class_names=tuple("0123456789"),
        train=pool.take(order[:500]),
        validation=pool.take(order[500:1100]),
        load_held_out=lambda: _read_digits().take(order[1100:]),
        num_held_out=len(pool) - 1100,
    )


def _read_digits() -> Split:
    # Slow to import, and needed by this task alone.
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = np.rint(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    return Split(images, labels.astype(np.int64))


def fashion_mnist(request: DataRequest) -> Source:
    """Fashion-MNIST: 50,000 and 10,000 of its 60,000 training images, its 10,000 test images held out."""
    data = request.data
    folders = [data / "fashion-mnist", data / "FashionMNIST" / "raw", SYSTEM_FOLDER / "fashion-mnist"]
    folder = first_with(folders, lambda folder: find_idx(folder, "train-images-idx3-ubyte") is not None)
    if folder is None:
        raise missing(
            "Fashion-MNIST",
            folders,
            f"apt-get install dataset-fashion-mnist, or {torchvision_command('FashionMNIST', data)}",
        )
    pool = _read_idx_pair(folder, "train")
    order = stratified_order(pool.labels, np.random.default_rng(SPLIT_SEED))
    num_train = len(pool) * 5 // 6
    return Source(
        class_names=_FASHION_NAMES,
        train=pool.take(order[:num_train]),
        validation=pool.take(order[num_train:]),
        load_held_out=lambda: _read_idx_pair(folder, "t10k"),
        place=folder,
    )


def _read_idx_pair(folder: Path, prefix: str) -> Split:
    arrays = []
    for name in (f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"):
        path = find_idx(folder, name)
        if path is None:
            raise TaskError(f"{folder} lacks {name} and {name}.gz; download the data set again")
        arrays.append(read_idx(path))
    images, labels = arrays
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise TaskError(f"{folder}: expected N {prefix} images and N labels, found {images.shape} and {labels.shape}")
    return checked(Split(images[:, None], labels.astype(np.int64)), len(_FASHION_NAMES), folder)
