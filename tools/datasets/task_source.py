"""What a data set has to say about itself, whatever form it lies in."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fairnad.domain.task import LeftOut
from fairnad.errors import TaskError
from tools.datasets.image_decoding import DEFAULT_RANGES, Ranges
from tools.datasets.splits import Channels, Split

SPLIT_SEED = 2605
"""Decides every split that no benchmark and no user prescribes; fixed, so that all runs share their images."""


@dataclass(frozen=True, slots=True)
class DataRequest:
    """Where the data lie and how they are wanted.

    ``splits`` is the folder of the official split files, ``None`` for the usual one below ``data``. ``image_size`` is
    the side in pixels, 0: the data's own. ``split_seed`` shares out images that come in no split, ``cache`` is a
    folder for decoded images. Reading ends soon after ``stop`` is set.
    """

    data: Path
    splits: Path | None
    image_size: int
    split_seed: int
    cache: Path
    stop: threading.Event


@dataclass(frozen=True, slots=True, eq=False)
class FinalExam:
    """What a finished search is examined with: all images there are to train on, and the published test split."""

    train: Split
    test: Split
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A data set as it lies on disk: images uint8 (N, 1 or 3, H, W) in its own size.

    Training and validation images are in an order of which every start is a fair sample, or the official one. Exactly
    one of ``load_held_out`` and ``load_final_exam`` is there: images a search may confirm its result with, or a
    published test split, which no search opens. ``normalisation`` is mean and deviation of each channel where the
    benchmark prescribes them. ``image_size`` is 0 where the images come in the task's own size. ``ranges`` are the
    values of images of more than 8 bits that become 0 and 255.
    """

    class_names: tuple[str, ...]
    train: Split
    validation: Split
    load_held_out: Callable[[], Split] | None = None
    load_final_exam: Callable[[], FinalExam] | None = None
    num_held_out: int | None = None
    place: Path | None = None
    image_size: int = 0
    normalisation: tuple[Channels, Channels] | None = None
    ranges: Ranges = field(default_factory=lambda: DEFAULT_RANGES)
    left_out: Mapping[LeftOut, Sequence[str]] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


def first_with(folders: Iterable[Path], holds_data: Callable[[Path], bool]) -> Path | None:
    """The first of the folders a data set lies in."""
    return next((folder for folder in folders if holds_data(folder)), None)


def missing(title: str, folders: Iterable[Path], remedy: str) -> TaskError:
    """The error for a data set that is in none of its places."""
    looked_in = ", ".join(str(folder) for folder in folders)
    return TaskError(f"{title} was not found in {looked_in}; get it with: {remedy}")


def torchvision_command(name: str, data: Path) -> str:
    """The shell command by which torchvision fetches a data set into the folder ``data``."""
    program = f"from torchvision.datasets import {name}; {name}({str(data)!r}, download=True)"
    return f'python -c "{program}"' if not set('"$`\\!') & set(program) else f"python -c {shlex.quote(program)}"


def checked(split: Split, num_classes: int, path: Path) -> Split:
    """The split itself.

    Raises:
        TaskError: it is empty, or a label is out of range.
    """
    if len(split) == 0 or split.labels.min() < 0 or split.labels.max() >= num_classes:
        raise TaskError(f"{path} should hold images with labels from 0 to {num_classes - 1}; fetch it again")
    return split
