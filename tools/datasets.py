"""Tasks: images split into training, validation and held-out, kept in the parent process (never in a job)."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fairnad.errors import TaskError
from fairnad.task import TaskDefaults
from tools.dataset_files import find_idx, read_cifar_batch, read_idx

_SPLIT_SEED = 2605
"""Decides every split that no benchmark prescribes; fixed, so that all runs share their images."""

SYSTEM_FOLDER = Path("/usr/share/datasets")
"""Where Debian's data set packages put their files."""

Channels = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Images, uint8 (N, 3, H, W), with their labels, int64 (N,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A data set ready for a search.

    ``mean`` and ``std`` are those of the training split on the [0, 1] scale. ``digest`` changes with any image or
    label that is trained or validated on, so with the data, the split and the image size.
    """

    name: str
    num_classes: int
    image_size: int
    mean: Channels
    std: Channels
    flip_probability: float
    crop_padding: int
    digest: str
    class_names: tuple[str, ...]
    train: Split
    validation: Split
    _load_held_out: Callable[[], Split] | None = field(repr=False)

    @property
    def has_held_out(self) -> bool:
        """Whether there are images a search may confirm its result with."""
        return self._load_held_out is not None

    def held_out(self) -> Split:
        """The held-out images, loaded now and never before; only for after a search.

        Raises:
            TaskError: their files are missing or malformed, or the task has none.
        """
        if self._load_held_out is None:
            raise TaskError(f"{self.name} has no held-out images but a published test split; --final-test opens it")
        return self._load_held_out()


def load_task(name: str, *, data: Path, image_size: int, defaults: TaskDefaults) -> Task:
    """A task by name.

    Args:
        data: the folder data sets lie in.
        image_size: the side in pixels images are resized to; 0: the task's own. The crop padding is scaled along.

    Raises:
        TaskError: the task is unknown, its files are missing or malformed, or it has fewer images than asked for.
    """
    if name not in _SOURCES:
        nearest = difflib.get_close_matches(name, _SOURCES, n=1, cutoff=0)[0]
        raise TaskError(f"no task is named {name!r}; did you mean {nearest!r}? There are {', '.join(sorted(_SOURCES))}")
    source = _SOURCES[name](data)
    size = image_size or defaults.image_size
    train = _prepare(_first(source.train, defaults.num_train, f"{name}: training"), size)
    validation = _prepare(_first(source.validation, defaults.num_validation, f"{name}: validation"), size)
    mean, std = _statistics(train)
    return Task(
        name=name,
        num_classes=len(source.class_names),
        image_size=size,
        mean=mean,
        std=std,
        flip_probability=defaults.flip_probability,
        crop_padding=round(defaults.crop_padding * size / defaults.image_size),
        digest=_digest([train, validation]),
        class_names=source.class_names,
        train=train,
        validation=validation,
        _load_held_out=lambda: _prepare(source.load_held_out(), size),
    )


def stratified_order(labels: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """A random permutation, int64 (N,), of which every slice has the classes in the proportions of ``labels``.

    Each class is shuffled and then spread evenly over the permutation.
    """
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        position[members] = (np.arange(len(members)) + generator.random()) / len(members)
    return np.argsort(position, kind="stable")


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """A data set as it lies on disk: images uint8 (N, 1 or 3, H, W) in its own size, in stratified order."""

    class_names: tuple[str, ...]
    train: Split
    validation: Split
    load_held_out: Callable[[], Split]


def _digits(data: Path) -> _Source:
    """scikit-learn's 1,797 scanned digits, part of the package: 500 to train, 600 to validate, 697 held out."""
    pool = _read_digits()
    order = stratified_order(pool.labels, np.random.default_rng(_SPLIT_SEED))
    return _Source(
        class_names=tuple("0123456789"),
        train=_take(pool, order[:500]),
        validation=_take(pool, order[500:1100]),
        load_held_out=lambda: _take(_read_digits(), order[1100:]),
    )


def _read_digits() -> Split:
    # Slow to import, and needed by this task alone.
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = np.rint(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    return Split(images, labels.astype(np.int64))


_FASHION_NAMES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")


def _fashion_mnist(data: Path) -> _Source:
    """Fashion-MNIST: 50,000 and 10,000 of its 60,000 training images, its 10,000 test images held out."""
    folders = [data / "fashion-mnist", data / "FashionMNIST" / "raw", SYSTEM_FOLDER / "fashion-mnist"]
    folder = _first_with(folders, lambda folder: find_idx(folder, "train-images-idx3-ubyte") is not None)
    if folder is None:
        raise _missing(
            "Fashion-MNIST",
            folders,
            f'apt-get install dataset-fashion-mnist, or python -c "from torchvision.datasets import FashionMNIST; '
            f"FashionMNIST('{data}', download=True)\"",
        )
    pool = _read_idx_pair(folder, "train")
    order = stratified_order(pool.labels, np.random.default_rng(_SPLIT_SEED))
    num_train = len(pool) * 5 // 6
    return _Source(
        class_names=_FASHION_NAMES,
        train=_take(pool, order[:num_train]),
        validation=_take(pool, order[num_train:]),
        load_held_out=lambda: _read_idx_pair(folder, "t10k"),
    )


def _read_idx_pair(folder: Path, prefix: str) -> Split:
    arrays = []
    for name in (f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"):
        path = find_idx(folder, name)
        if path is None:
            raise TaskError(f"{folder} lacks {name} and {name}.gz; fetch the data set again")
        arrays.append(read_idx(path))
    images, labels = arrays
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise TaskError(f"{folder}: expected N {prefix} images and N labels, found {images.shape} and {labels.shape}")
    return _checked(Split(images[:, None], labels.astype(np.int64)), len(_FASHION_NAMES), folder)


_CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _cifar10(data: Path) -> _Source:
    """CIFAR-10: the training batches in two halves as in NAS-Bench-201 (paper §A.1), the test batch held out."""
    folders = [data / "cifar-10-batches-py"]
    folder = _first_with(folders, lambda folder: (folder / "data_batch_1").is_file())
    if folder is None:
        raise _missing(
            "CIFAR-10",
            folders,
            f"python -c \"from torchvision.datasets import CIFAR10; CIFAR10('{data}', download=True)\"",
        )
    pool = _read_cifar([folder / f"data_batch_{number}" for number in range(1, 6)])
    train, validation = _cifar10_halves(pool.labels)
    return _Source(
        class_names=_CIFAR10_NAMES,
        train=_take(pool, train),
        validation=_take(pool, validation),
        load_held_out=lambda: _read_cifar([folder / "test_batch"]),
    )


def _cifar10_halves(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the training and the validation half, each class shared out evenly."""
    order = stratified_order(labels, np.random.default_rng(_SPLIT_SEED))
    return order[: len(order) // 2], order[len(order) // 2 :]


def _read_cifar(paths: Iterable[Path]) -> Split:
    splits = [_checked(Split(*read_cifar_batch(path)), len(_CIFAR10_NAMES), path) for path in paths]
    images = np.concatenate([split.images for split in splits])
    return Split(images, np.concatenate([split.labels for split in splits]))


_SOURCES: dict[str, Callable[[Path], _Source]] = {
    "digits": _digits,
    "fashion-mnist": _fashion_mnist,
    "cifar10": _cifar10,
}


def _first_with(folders: Iterable[Path], holds_data: Callable[[Path], bool]) -> Path | None:
    return next((folder for folder in folders if holds_data(folder)), None)


def _missing(title: str, folders: Iterable[Path], command: str) -> TaskError:
    looked_in = ", ".join(str(folder) for folder in folders)
    return TaskError(f"{title} was not found in {looked_in}; get it with: {command}")


def _checked(split: Split, num_classes: int, path: Path) -> Split:
    if len(split) == 0 or split.labels.min() < 0 or split.labels.max() >= num_classes:
        raise TaskError(f"{path} should hold images with labels from 0 to {num_classes - 1}; fetch it again")
    return split


def _take(split: Split, indices: NDArray[np.int64]) -> Split:
    return Split(split.images[indices], split.labels[indices])


def _first(split: Split, num_images: int, what: str) -> Split:
    if num_images > len(split):
        raise TaskError(f"{what} asks for {num_images} images, the split has {len(split)}; set a number up to that")
    return Split(split.images[:num_images], split.labels[:num_images]) if num_images else split


def _prepare(split: Split, size: int) -> Split:
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


def _statistics(split: Split) -> tuple[Channels, Channels]:
    pixels = split.images.transpose(1, 0, 2, 3).reshape(3, -1)
    mean = pixels.mean(axis=1, dtype=np.float64) / 255
    # A channel of one single value is left as it is rather than divided by nothing.
    std = np.maximum(pixels.std(axis=1, dtype=np.float64) / 255, 1 / 255)
    return _channels(mean), _channels(std)


def _channels(values: NDArray[np.float64]) -> Channels:
    red, green, blue = (round(float(value), 6) for value in values)
    return red, green, blue


def _digest(splits: Iterable[Split]) -> str:
    digest = hashlib.sha256()
    for split in splits:
        digest.update(repr(split.images.shape).encode())
        digest.update(split.images.tobytes())
        digest.update(split.labels.astype("<i8").tobytes())
    return digest.hexdigest()[:12]
