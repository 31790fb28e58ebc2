"""The port of data sources: request and result."""

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
"""Seed of splits that no benchmark or user prescribes; fixed, so that all runs use the same images."""


@dataclass(frozen=True, slots=True)
class DataRequest:
    """Location and form of the data.

    ``image_size`` is the side in pixels, 0: unchanged. ``split_seed`` divides images without splits. ``cache`` is a
    folder for decoded images. Reading stops soon after ``stop`` is set.
    """

    data: Path
    image_size: int
    split_seed: int
    cache: Path
    stop: threading.Event


@dataclass(frozen=True, slots=True, eq=False)
class FinalSplits:
    """Data of the final test: all training images, and the published test split."""

    train: Split
    test: Split
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A data set: images uint8 (N, 1 or 3, H, W) in their original size.

    Training and validation images are in official or stratified order. Exactly one of ``load_held_out`` (images to
    confirm the result of a search) and ``load_final_splits`` (a published test split, which no search opens) is set.
    ``normalisation`` is mean and deviation of each channel, if the benchmark prescribes them. ``image_size`` is 0 if
    the task determines it. ``ranges`` are the values of images of more than 8 bits that become 0 and 255.
    """

    class_names: tuple[str, ...]
    train: Split
    validation: Split
    load_held_out: Callable[[], Split] | None = None
    load_final_splits: Callable[[], FinalSplits] | None = None
    num_held_out: int | None = None
    place: Path | None = None
    image_size: int = 0
    normalisation: tuple[Channels, Channels] | None = None
    ranges: Ranges = field(default_factory=lambda: DEFAULT_RANGES)
    left_out: Mapping[LeftOut, Sequence[str]] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


def first_with(folders: Iterable[Path], holds_data: Callable[[Path], bool]) -> Path | None:
    """The first folder that contains the data set."""
    return next((folder for folder in folders if holds_data(folder)), None)


def missing(title: str, folders: Iterable[Path], remedy: str) -> TaskError:
    """The error for a data set that was not found."""
    looked_in = ", ".join(str(folder) for folder in folders)
    return TaskError(f"{title} was not found in {looked_in}; get it with: {remedy}")


def torchvision_command(name: str, data: Path) -> str:
    """The shell command that downloads a data set to ``data`` by torchvision."""
    program = f"from torchvision.datasets import {name}; {name}({str(data)!r}, download=True)"
    return f'python -c "{program}"' if not set('"$`\\!') & set(program) else f"python -c {shlex.quote(program)}"


def checked(split: Split, num_classes: int, path: Path) -> Split:
    """Return the split.

    Raises:
        TaskError: it is empty, or a label is out of range.
    """
    if len(split) == 0 or split.labels.min() < 0 or split.labels.max() >= num_classes:
        raise TaskError(f"{path} should contain images with labels from 0 to {num_classes - 1}; download it again")
    return split
