"""The paper's tasks in their published files: CIFAR-10, CIFAR-100 and ImageNet16-120 (paper §5, §A.1).

The splits are those of NAS-Bench-201. CIFAR-10 uses halves of its training images for training and validation, and its
test batch for the final test. The other two use all training images, and halves of their test images (for
ImageNet16-120 the validation images of ImageNet) for validation and the final test. No search opens the test batch of
CIFAR-10. The other tasks have their test half in the same file as the validation half: a search discards it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fairnad.errors import TaskError
from tools.datasets.dataset_files import md5_of, read_batch, read_names
from tools.datasets.splits import Channels, Split, concatenate, stratified_order
from tools.datasets.task_source import (
    SPLIT_SEED,
    DataRequest,
    FinalSplits,
    Source,
    checked,
    first_with,
    missing,
    torchvision_command,
)

CIFAR10_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
}
CIFAR10_TEST_MD5 = {"test_batch": "40351d587109b95175f43aff81a1287e"}
CIFAR100_MD5 = {"train": "16019d7e3df5f24257cddd939b257f8d", "test": "f0ef6b0ae62326f3e7ffdfab6717acfc"}
"""Of the files at https://www.cs.toronto.edu/~kriz/cifar.html, as torchvision checks them."""

IMAGENET16_MD5 = {
    "train_data_batch_1": "27846dcaa50de8e21a7d1a35f30f0e91",
    "train_data_batch_2": "c7254a054e0e795c69120a5727050e3f",
    "train_data_batch_3": "4333d3df2e5ffb114b05d2ffc19b1e87",
    "train_data_batch_4": "1620cdf193304f4a92677b695d70d10f",
    "train_data_batch_5": "348b3c2fdbb3940c4e9e834affd3b18d",
    "train_data_batch_6": "6e765307c242a1b3d7d5ef9139b48945",
    "train_data_batch_7": "564926d8cbf8fc4818ba23d2faac7564",
    "train_data_batch_8": "f4755871f718ccb653440b9dd0ebac66",
    "train_data_batch_9": "bb6dd660c38c58552125b1a92f86b5d4",
    "train_data_batch_10": "8f03f34ac4b42271a294f91bf480f29b",
    "val_data": "3410e3017fdaefba8d5073aaa65e4bd6",
}
"""As NAS-Bench-201 checks them (D-X-Y/AutoDL-Projects, lib/datasets/DownsampledImageNet.py)."""

FOLDER_NAME = "nasbench201-splits"
_ADDRESS = "https://raw.githubusercontent.com/D-X-Y/AutoDL-Projects/main/configs/nas-benchmark"


@dataclass(frozen=True, slots=True)
class SplitFile:
    """A split file, and the keys of its two lists of image numbers."""

    name: str
    keys: tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Halves:
    """Image numbers of two disjoint parts, int64; a notice if they are not the official ones."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    notices: tuple[str, ...] = ()


CIFAR10_SPLIT = SplitFile("cifar-split.txt", ("train", "valid"))
CIFAR100_SPLIT = SplitFile("cifar100-test-split.txt", ("xvalid", "xtest"))
IMAGENET16_SPLIT = SplitFile("imagenet-16-120-test-split.txt", ("xvalid", "xtest"))

_CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_NUM_CIFAR100_CLASSES = 100
_NUM_IMAGENET_CLASSES = 120
_IMAGENET16_FOLDER = "ImageNet16"


def _per_byte(*values: float) -> Channels:
    red, green, blue = (round(value / 255, 6) for value in values)
    return red, green, blue


_CIFAR10_NORMALISATION = _per_byte(125.3, 123.0, 113.9), _per_byte(63.0, 62.1, 66.7)
_CIFAR100_NORMALISATION = _per_byte(129.3, 124.1, 112.4), _per_byte(68.2, 65.4, 70.4)
_IMAGENET16_NORMALISATION = _per_byte(122.68, 116.66, 104.01), _per_byte(63.22, 61.26, 65.09)
"""Mean and deviation of each channel, as NAS-Bench-201 prescribes them."""


def cifar10(request: DataRequest) -> Source:
    """CIFAR-10: halves of the training images; the final test trains on both and tests on the test batch."""
    folder = _folder(
        request, "CIFAR-10", "cifar-10-batches-py", "data_batch_1", torchvision_command("CIFAR10", request.data)
    )
    pool = _read_cifar10(folder, CIFAR10_MD5)
    halves = read_halves(request, CIFAR10_SPLIT, pool.labels)
    return Source(
        class_names=_CIFAR10_NAMES,
        train=pool.take(halves.first),
        validation=pool.take(halves.second),
        load_final_splits=lambda: FinalSplits(
            train=_read_cifar10(folder, CIFAR10_MD5),
            test=_read_cifar10(folder, CIFAR10_TEST_MD5),
            notices=_changed_files(folder, CIFAR10_TEST_MD5),
        ),
        place=folder,
        normalisation=_CIFAR10_NORMALISATION,
        notices=(*_changed_files(folder, CIFAR10_MD5), *halves.notices),
    )


def _read_cifar10(folder: Path, names: Iterable[str]) -> Split:
    return concatenate(
        checked(Split(*read_batch(folder / name, side=32)), len(_CIFAR10_NAMES), folder / name) for name in names
    )


def cifar100(request: DataRequest) -> Source:
    """CIFAR-100: all training images; halves of the test images for validation and the final test."""
    folder = _folder(request, "CIFAR-100", "cifar-100-python", "train", torchvision_command("CIFAR100", request.data))
    names = _cifar100_names(folder / "meta")
    shared_out = _read_cifar100(folder / "test")
    halves = read_halves(request, CIFAR100_SPLIT, shared_out.labels)
    return Source(
        class_names=names,
        train=_read_cifar100(folder / "train"),
        validation=shared_out.take(halves.first),
        load_final_splits=lambda: FinalSplits(
            train=_read_cifar100(folder / "train"), test=_read_cifar100(folder / "test").take(halves.second)
        ),
        place=folder,
        normalisation=_CIFAR100_NORMALISATION,
        notices=(*_changed_files(folder, CIFAR100_MD5), *halves.notices),
    )


def _read_cifar100(path: Path) -> Split:
    return checked(Split(*read_batch(path, side=32, labels="fine_labels")), _NUM_CIFAR100_CLASSES, path)


def _cifar100_names(path: Path) -> tuple[str, ...]:
    """The class names; numbers if their file is missing."""
    names = read_names(path, "fine_label_names") if path.is_file() else ()
    return names if len(names) == _NUM_CIFAR100_CLASSES else tuple(map(str, range(_NUM_CIFAR100_CLASSES)))


def imagenet16_120(request: DataRequest) -> Source:
    """ImageNet16-120: the first 120 classes of ImageNet in 16×16 pixels; halves of the validation images."""
    remedy = (
        f"https://image-net.org/download-images, the 16×16 batches of downsampled ImageNet, into "
        f"{request.data / _IMAGENET16_FOLDER}"
    )
    folder = _folder(request, "ImageNet16", _IMAGENET16_FOLDER, "train_data_batch_1", remedy)
    train_files = [name for name in IMAGENET16_MD5 if name != "val_data"]
    shared_out = _read_imagenet16(folder, ["val_data"])
    halves = read_halves(request, IMAGENET16_SPLIT, shared_out.labels)
    return Source(
        class_names=tuple(str(number) for number in range(1, _NUM_IMAGENET_CLASSES + 1)),
        train=_read_imagenet16(folder, train_files),
        validation=shared_out.take(halves.first),
        load_final_splits=lambda: FinalSplits(
            train=_read_imagenet16(folder, train_files), test=_read_imagenet16(folder, ["val_data"]).take(halves.second)
        ),
        place=folder,
        normalisation=_IMAGENET16_NORMALISATION,
        notices=(*_changed_files(folder, IMAGENET16_MD5), *halves.notices),
    )


def _read_imagenet16(folder: Path, names: Iterable[str]) -> Split:
    """The images of the first 120 classes in file order; the files count classes from 1."""
    parts = []
    for name in names:
        images, labels = read_batch(folder / name, side=16)
        is_used = (labels >= 1) & (labels <= _NUM_IMAGENET_CLASSES)
        parts.append(Split(images[is_used], labels[is_used] - 1))
    return checked(concatenate(parts), _NUM_IMAGENET_CLASSES, folder)


def _folder(request: DataRequest, title: str, name: str, first_file: str, remedy: str) -> Path:
    folders = [request.data / name]
    folder = first_with(folders, lambda folder: (folder / first_file).is_file())
    if folder is None:
        raise missing(title, folders, remedy)
    return folder


def _changed_files(folder: Path, published: Mapping[str, str]) -> tuple[str, ...]:
    """A notice on files that differ from the published ones."""
    changed = [name for name, digest in published.items() if md5_of(folder / name) != digest]
    if not changed:
        return ()
    verb = "differs" if len(changed) == 1 else "differ"
    return (f"In {folder}, {', '.join(changed)} {verb} from the published file{'s' * (len(changed) > 1)} (MD5).",)


def read_halves(request: DataRequest, file: SplitFile, labels: NDArray[np.int64]) -> Halves:
    """The official halves, in the order of the file.

    Without a split file for this number of images, as for a part of a data set, two stratified halves with a notice.

    Args:
        labels: int64 (N,), of the images.

    Raises:
        TaskError: the split file is malformed.
    """
    path = request.data / FOLDER_NAME / file.name
    if not path.is_file():
        reason = f"{path} is not there; get it with: {_command(path)}"
        return _own_halves(labels, reason)
    first, second = _read(path, file.keys)
    num_split = len(first) + len(second)
    if num_split != len(labels):
        return _own_halves(labels, f"{path} lists {num_split:,} images, but there are {len(labels):,}")
    if not np.array_equal(np.sort(np.concatenate([first, second])), np.arange(num_split)):
        raise TaskError(f"{path} should name each of {num_split} images once; get it with: {_command(path)}")
    return Halves(first, second)


def _own_halves(labels: NDArray[np.int64], reason: str) -> Halves:
    order = stratified_order(labels, np.random.default_rng(SPLIT_SEED))
    middle = len(order) // 2
    notice = f"Two stratified halves replace the official NAS-Bench-201 split: {reason}."
    return Halves(order[:middle], order[middle:], (notice,))


def _read(path: Path, keys: tuple[str, str]) -> list[NDArray[np.int64]]:
    """The lists of a split file, JSON of the form ``{key: ["int", ["0", "5", …]]}``."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [_numbers(content[key]) for key in keys]
    except OSError as error:
        raise TaskError(f"{path} cannot be read ({error.strerror}); fix its permissions") from error
    except (ValueError, LookupError, TypeError) as error:
        expected = f"the lists {keys[0]} and {keys[1]} of image numbers"
        raise TaskError(f"{path} should contain {expected}; get it with: {_command(path)}") from error


def _numbers(entry: list[object]) -> NDArray[np.int64]:
    kind, numbers = entry
    if kind != "int" or not isinstance(numbers, list):
        raise ValueError(kind)
    return np.array([int(str(number)) for number in numbers], np.int64)


def _command(path: Path) -> str:
    return f"curl --create-dirs -o {path} {_ADDRESS}/{path.name}"
