"""Tasks: images split into training, validation and held-out, kept in the parent process (never in a job)."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fairnad.domain.task import TaskDefaults, TaskReport
from fairnad.errors import TaskError
from tools.datasets.folder_form import class_folders
from tools.datasets.image_decoding import DEFAULT_RANGES, Ranges
from tools.datasets.image_folder import image_folder
from tools.datasets.paper_sets import cifar10, cifar100, imagenet16_120
from tools.datasets.small_sets import digits, fashion_mnist
from tools.datasets.splits import Channels, Split, digest, prepare, statistics
from tools.datasets.task_source import DataRequest, Source

__all__ = ["Channels", "Split", "Task", "load_final_exam", "load_task"]

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

    ``mean`` and ``std`` are of each channel on the [0, 1] scale: those the benchmark prescribes, else those of the
    training split. ``digest`` changes with any image or label that is trained or validated on, so with the data, the
    split and the image size, and with ``mean`` and ``std``. ``ranges`` are the values of images of more than
    8 bits that become 0 and 255. A task without held-out images has a published test split instead, which
    :func:`load_final_exam` opens once its search is over.
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

    @property
    def held_out_is_open(self) -> bool:
        """Whether a search may look at held-out images once it has ended; a published test split it may not."""
        return self._load_held_out is not None

    def held_out(self) -> Split:
        """The held-out images, loaded now and never before; only for after a search.

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
    splits: Path | None = None,
    split_seed: int = 0,
    cache: Path = Path("runs/.images"),
    stop: threading.Event | None = None,
) -> Task:
    """A task by name.

    Args:
        data: the folder data sets lie in; for ``folder`` that of the images.
        image_size: the side in pixels images are resized to; 0: the task's own. The crop padding is scaled along.
        splits: the folder of NAS-Bench-201's split files; ``None``: ``nasbench201-splits`` below ``data``.
        split_seed: how images are shared out that come in no split.
        cache: a folder for decoded images.
        stop: reading ends soon after it is set.

    Raises:
        TaskError: the task is unknown, its files are missing or malformed, or it has fewer images than asked for.
        StorageError: the cache cannot be written.
        StoppingError: reading was cut off.
    """
    request = DataRequest(data, splits, image_size, split_seed, cache, stop or threading.Event())
    source = _read(name, request)
    train = _first(source.train, defaults.num_train, f"{name}: training")
    validation = _first(source.validation, defaults.num_validation, f"{name}: validation")
    return _task(name, source, train, validation, defaults, image_size)


def load_final_exam(
    name: str, *, data: Path, defaults: TaskDefaults, image_size: int = 0, splits: Path | None = None
) -> Task:
    """What a finished search is examined with, as a task: trained on all there is, *validated* on the test split.

    For CIFAR-10 the training split is all training images, for the paper's other tasks that of the search. This is
    the one place where a published test split is read; nothing that runs during a search calls it.

    Args:
        name: a task with a published test split; the other arguments are those of :func:`load_task`.

    Raises:
        TaskError: the task has no published test split, or its files are missing or malformed.
    """
    if name not in WITH_TEST_SPLIT:
        raise TaskError(
            f"--final-test: {name} has no published test split; how base and best do on held-out images is told at "
            "the end of its search"
        )
    source = _read(name, DataRequest(data, splits, image_size, 0, Path(), threading.Event()))
    assert source.load_final_exam is not None, "a benchmark's source loads its test split"
    exam = source.load_final_exam()
    return _task(name, source, exam.train, exam.test, defaults, image_size, (*source.notices, *exam.notices))


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
    """The error for a folder of the user's own images that the task would not read."""
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
        raise TaskError(f"{what} asks for {num_images} images, the split has {len(split)}; set a number up to that")
    return Split(split.images[:num_images], split.labels[:num_images]) if num_images else split
