"""The published splits of NAS-Bench-201: which images train, validate and test, by number (paper §A.1)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fairnad.errors import TaskError
from tools.datasets.splits import stratified_order
from tools.datasets.task_source import SPLIT_SEED, DataRequest

FOLDER_NAME = "nasbench201-splits"
_ADDRESS = "https://raw.githubusercontent.com/D-X-Y/AutoDL-Projects/main/configs/nas-benchmark"


@dataclass(frozen=True, slots=True)
class SplitFile:
    """A split file: its name, and the keys of its two lists of image numbers."""

    name: str
    keys: tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Halves:
    """Image numbers of two disjoint parts, int64; a notice says why they are not the official ones, if so."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    notices: tuple[str, ...] = ()


def read_halves(request: DataRequest, file: SplitFile, labels: NDArray[np.int64]) -> Halves:
    """The official halves, in the order of the file.

    Where there is no split file, or it is for another number of images, as with a part of a data set, the images are
    shared out in two stratified halves and a notice says so.

    Args:
        labels: int64 (N,), those of the images to be shared out.

    Raises:
        TaskError: the file asked for is missing, or is no split file.
    """
    folder = request.splits or request.data / FOLDER_NAME
    path = folder / file.name
    if not path.is_file():
        if request.splits is not None:
            raise TaskError(f"--splits: expected {file.name}, found none in {folder}; get it with: {_command(path)}")
        reason = f"{path} is not there; get it with: {_command(path)}"
        return _own_halves(labels, reason)
    first, second = _read(path, file.keys)
    num_split = len(first) + len(second)
    if num_split != len(labels):
        return _own_halves(labels, f"{path} is for {num_split:,} images and there are {len(labels):,}")
    if not np.array_equal(np.sort(np.concatenate([first, second])), np.arange(num_split)):
        raise TaskError(f"{path} should name each of {num_split} images once; get it with: {_command(path)}")
    return Halves(first, second)


def _own_halves(labels: NDArray[np.int64], reason: str) -> Halves:
    order = stratified_order(labels, np.random.default_rng(SPLIT_SEED))
    middle = len(order) // 2
    notice = f"The official NAS-Bench-201 split is not used but two stratified halves: {reason}."
    return Halves(order[:middle], order[middle:], (notice,))


def _read(path: Path, keys: tuple[str, str]) -> list[NDArray[np.int64]]:
    """The lists of a split file, JSON of the form ``{key: ["int", ["0", "5", …]]}``."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [_numbers(content[key]) for key in keys]
    except OSError as error:
        raise TaskError(f"{path} cannot be read ({error.strerror}); mend its permissions") from error
    except (ValueError, LookupError, TypeError) as error:
        expected = f"the lists {keys[0]} and {keys[1]} of image numbers"
        raise TaskError(f"{path} should hold {expected}; get it with: {_command(path)}") from error


def _numbers(entry: list[object]) -> NDArray[np.int64]:
    kind, numbers = entry
    if kind != "int" or not isinstance(numbers, list):
        raise ValueError(kind)
    return np.array([int(str(number)) for number in numbers], np.int64)


def _command(path: Path) -> str:
    return f"curl --create-dirs -o {path} {_ADDRESS}/{path.name}"
