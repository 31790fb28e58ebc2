"""Tasks: images split into training, validation and held-out, kept in the parent process."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fairnad.domain.contract import Contract
from fairnad.domain.objective import ACCURACY, OBJECTIVES, Objective
from fairnad.domain.task import TaskDefaults, TaskReport
from fairnad.errors import TaskError
from tools.datasets.folder_form import class_folders
from tools.datasets.image_decoding import DEFAULT_RANGES, Ranges
from tools.datasets.image_folder import image_folder
from tools.datasets.paper_sets import cifar10, cifar100, imagenet16_120
from tools.datasets.small_sets import digits, fashion_mnist
from tools.datasets.splits import Channels, Split, digest, prepare, statistics
from tools.datasets.task_source import DataRequest, Source

__all__ = ["Channels", "Split", "Task", "load_final_task", "load_task"]

_NUM_EXAMPLES = 3

_SOURCES: dict[str, Callable[[DataRequest], Source]] = {
    "digits": digits,
    "fashion-mnist": fashion_mnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "imagenet16-120": imagenet16_120,
    "folder": image_folder,
}

WITH_TEST_SPLIT = frozenset({"cifar10", "cifar100", "imagenet16-120"})
"""The tasks whose benchmark publishes a test split."""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A data set ready for a search.

    ``mean`` and ``std`` are of each channel on the [0, 1] scale, prescribed by the benchmark or from the training
    split. ``digest`` depends on all training and validation images and labels, and on ``mean`` and ``std``. ``ranges``
    are the values of images of more than 8 bits that become 0 and 255. A task without held-out images has a published
    test split, which :func:`load_final_task` opens after the search.
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
    report: TaskReport
    _load_held_out: Callable[[], Split] | None = field(repr=False)
    ranges: Ranges = field(default_factory=lambda: DEFAULT_RANGES)
    objective: Objective = ACCURACY

    @property
    def contract(self) -> Contract:
        """The contract of networks for the task."""
        return Contract.for_images(self.image_size, self.num_classes, num_channels=self.train.images.shape[1])

    @property
    def held_out_is_open(self) -> bool:
        """Whether a finished search may use held-out images; not if they are a published test split."""
        return self._load_held_out is not None

    def held_out(self) -> Split:
        """Load the held-out images; only after a search.

        Raises:
            TaskError: their files are missing or malformed, or the task has none.
        """
        if self._load_held_out is None:
            raise TaskError(f"{self.name} has no held-out images but a published test split; --final-test opens it")
        return self._load_held_out()


def load_task(
    name: str,
    *,
    data: Path,
    defaults: TaskDefaults,
    image_size: int = 0,
    split_seed: int = 0,
    cache: Path = Path("runs/.images"),
    stop: threading.Event | None = None,
) -> Task:
    """Load a task by name.

    Args:
        data: the folder of the data sets; for ``folder``, of the images.
        image_size: side in pixels; 0: default of the task. The crop padding is scaled accordingly.
        split_seed: divides images without splits.
        cache: a folder for decoded images.
        stop: stops reading soon after it is set.

    Raises:
        TaskError: the task is unknown, its files are missing or malformed, or it has too few images.
        StorageError: the cache cannot be written.
        StoppingError: reading was stopped.
    """
    request = DataRequest(data, image_size, split_seed, cache, stop or threading.Event())
    source = _read(name, request)
    train = _first(source.train, defaults.num_train, f"{name}: training")
    validation = _first(source.validation, defaults.num_validation, f"{name}: validation")
    return _task(name, source, train, validation, defaults, image_size)


def load_final_task(name: str, *, data: Path, defaults: TaskDefaults, image_size: int = 0) -> Task:
    """Load the data of the final test as a task whose *validation* split is the published test split.

    For CIFAR-10 the training split has all training images. No search calls this function, the only one that
    reads a published test split.

    Args:
        name: a task with a published test split; other arguments as for :func:`load_task`.

    Raises:
        TaskError: the task has no published test split, or its files are missing or malformed.
    """
    if name not in WITH_TEST_SPLIT:
        raise TaskError(
            f"--final-test: {name} has no published test split; a search on it reports base and best on held-out "
            "images at its end"
        )
    source = _read(name, DataRequest(data, image_size, 0, Path(), threading.Event()))
    assert source.load_final_splits is not None, "a benchmark's source loads its test split"
    final = source.load_final_splits()
    return _task(name, source, final.train, final.test, defaults, image_size, (*source.notices, *final.notices))


def _read(name: str, request: DataRequest) -> Source:
    if name not in _SOURCES:
        nearest = difflib.get_close_matches(name, _SOURCES, n=1, cutoff=0)[0]
        raise TaskError(f"no task is named {name!r}; did you mean {nearest!r}? There are {', '.join(sorted(_SOURCES))}")
    if name == "folder":
        return image_folder(request)
    own_classes = class_folders(request.data)
    try:
        source = _SOURCES[name](request)
    except TaskError as error:
        raise _other_task(name, request, own_classes) if own_classes else error from None
    if own_classes and (source.place is None or not source.place.is_relative_to(request.data)):
        raise _other_task(name, request, own_classes)
    return source


def _other_task(name: str, request: DataRequest, class_names: Sequence[str]) -> TaskError:
    """The error for a folder of the user's images that the task would not read."""
    some = ", ".join(class_names[:_NUM_EXAMPLES]) + (", …" if len(class_names) > _NUM_EXAMPLES else "")
    return TaskError(
        f"--data {request.data}: expected files of the task {name}, found class folders of images ({some}); add "
        "--task folder to search on them, or set --data to another folder"
    )


def _task(
    name: str,
    source: Source,
    train: Split,
    validation: Split,
    defaults: TaskDefaults,
    image_size: int,
    notices: tuple[str, ...] | None = None,
) -> Task:
    size = image_size or source.image_size or defaults.image_size
    train, validation = prepare(train, size), prepare(validation, size)
    normalisation = source.normalisation or statistics(train)
    load_held_out = source.load_held_out
    return Task(
        name=name,
        num_classes=len(source.class_names),
        image_size=size,
        mean=normalisation[0],
        std=normalisation[1],
        flip_probability=defaults.flip_probability,
        crop_padding=defaults.padding(size),
        digest=digest([train, validation], normalisation),
        class_names=source.class_names,
        train=train,
        validation=validation,
        report=_report(name, source, size, train, validation, source.notices if notices is None else notices),
        objective=OBJECTIVES[defaults.objective],
        _load_held_out=None if load_held_out is None else lambda: prepare(load_held_out(), size),
        ranges=source.ranges,
    )


def _report(
    name: str, source: Source, size: int, train: Split, validation: Split, notices: tuple[str, ...]
) -> TaskReport:
    counts = np.bincount(train.labels, minlength=len(source.class_names)).tolist()
    return TaskReport(
        task=name,
        place=str(source.place) if source.place is not None else "",
        image_size=size,
        num_train=len(train),
        num_validation=len(validation),
        num_held_out=source.num_held_out,
        class_counts=dict(zip(source.class_names, counts, strict=True)),
        left_out={reason: len(names) for reason, names in source.left_out.items()},
        examples={reason: tuple(names[:_NUM_EXAMPLES]) for reason, names in source.left_out.items()},
        notices=notices,
    )


def _first(split: Split, num_images: int, what: str) -> Split:
    if num_images > len(split):
        raise TaskError(f"{what} needs {num_images} images, the split has {len(split)}; lower the number")
    return Split(split.images[:num_images], split.labels[:num_images]) if num_images else split
