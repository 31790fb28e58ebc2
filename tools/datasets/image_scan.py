"""Reads an image folder with one thread per core; Pillow decodes without the interpreter lock."""

from __future__ import annotations

import hashlib
import os
import threading
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from fairnad.domain.task import LeftOut
from fairnad.errors import StoppingError
from tools.datasets.folder_listing import ListedFile, Listing
from tools.datasets.image_decoding import Header, Ranges, decode, measure, read_header
from tools.datasets.splits import Part

Value = TypeVar("Value")

_PIECE = 64
"""Files per work item of a thread, which checks for a stop between items."""

_PROBE_SIZE = 8
"""Side in pixels of images that are decoded only to find damage."""

_KEPT_FIRST = (Part.TEST, Part.VALIDATION, Part.TRAIN)
"""The order in which copies are kept: a duplicate across splits is removed from training."""


class Pixels(IntEnum):
    """The outcome of decoding a file."""

    BROKEN = 0
    FLAT = 1
    """all of one colour"""
    WHOLE = 2


class Span(NamedTuple):
    """The smallest and the largest value of an image whose mode has no fixed range."""

    mode: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Scan:
    """The result of reading every file of a listing.

    ``left_out`` has the files that are not used, by number in the listing. ``sides`` has width and height of all files,
    int64 (N, 2), 0 for files that are left out. ``spans`` are of images whose mode has no fixed range; if there are
    any, all files were decoded.
    """

    left_out: dict[int, LeftOut]
    sides: NDArray[np.int64]
    spans: dict[int, Span]

    @property
    def usable(self) -> NDArray[np.int64]:
        """The numbers of usable files, int64 (M,)."""
        return np.flatnonzero(self.sides[:, 0] > 0)


def scan(listing: Listing, stop: threading.Event) -> Scan:
    """Read every file: find non-images, sizes, duplicates and value ranges.

    Raises:
        StoppingError: ``stop`` was set.
    """
    files = listing.files
    paths = [listing.path(file) for file in files]
    looks = in_threads(lambda number: files[number].problem or read_header(paths[number]), len(files), stop)
    left_out = {number: look for number, look in enumerate(looks) if isinstance(look, LeftOut)}
    left_out |= _find_duplicates(files, paths, left_out, stop)
    headers = {number: look for number, look in enumerate(looks) if isinstance(look, Header) and number not in left_out}
    spans: dict[int, Span] = {}
    if any(header.unscaled for header in headers.values()):
        spans, broken = _decode_all(headers, paths, stop)
        left_out |= dict.fromkeys(broken, LeftOut.BROKEN)
    sides = np.zeros((len(files), 2), np.int64)
    for number, header in headers.items():
        if number not in left_out:
            sides[number] = header.width, header.height
    return Scan(left_out, sides, spans)


def _decode_all(
    headers: Mapping[int, Header], paths: Sequence[Path], stop: threading.Event
) -> tuple[dict[int, Span], list[int]]:
    """Decode every file; returns spans, and the numbers of broken files.

    All files are decoded, because the selection of training images, and so their range, depends on undamaged files.
    """
    numbers = list(headers)

    def look(index: int) -> Span | bool:
        number = numbers[index]
        mode = headers[number].unscaled
        if not mode:
            return decode(paths[number], _PROBE_SIZE) is not None
        found = measure(paths[number])
        return Span(mode, *found) if found else False

    looks = dict(zip(numbers, in_threads(look, len(numbers), stop), strict=True))
    spans = {number: look for number, look in looks.items() if isinstance(look, Span)}
    return spans, [number for number, look in looks.items() if look is False]


def _find_duplicates(
    files: Sequence[ListedFile], paths: Sequence[Path], left_out: dict[int, LeftOut], stop: threading.Event
) -> dict[int, LeftOut]:
    """Duplicates to leave out; only files of equal size are compared."""
    lengths = Counter(file.num_bytes for number, file in enumerate(files) if number not in left_out)
    suspects = [number for number, file in enumerate(files) if number not in left_out and lengths[file.num_bytes] > 1]
    digests = in_threads(lambda index: _content(paths[suspects[index]]), len(suspects), stop)
    groups: defaultdict[bytes, list[int]] = defaultdict(list)
    unreadable = {}
    for number, digest in zip(suspects, digests, strict=True):
        if digest is None:
            unreadable[number] = LeftOut.UNREADABLE
        else:
            groups[digest].append(number)
    repeated: dict[int, LeftOut] = {}
    for group in groups.values():
        if len({files[number].label for number in group}) > 1:
            repeated |= dict.fromkeys(group, LeftOut.AMBIGUOUS)
        else:
            kept = min(group, key=lambda number: (_KEPT_FIRST.index(files[number].part), number))
            repeated |= {number: LeftOut.DUPLICATE for number in group if number != kept}
    return repeated | unreadable


def _content(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError:
        return None


def decode_into(
    images: NDArray[np.uint8], paths: Sequence[Path], ranges: Ranges, stop: threading.Event
) -> NDArray[np.uint8]:
    """Decode files into ``images``, uint8 (N, 3, size, size); returns outcomes, uint8 (N,) of :class:`Pixels`.

    Raises:
        StoppingError: ``stop`` was set.
    """
    size = images.shape[-1]

    def fill(row: int) -> Pixels:
        pixels = decode(paths[row], size, ranges)
        if pixels is None:
            return Pixels.BROKEN
        images[row] = pixels
        return Pixels.FLAT if (pixels == pixels[:, :1, :1]).all() else Pixels.WHOLE

    return np.array(in_threads(fill, len(paths), stop), np.uint8)


def in_threads(work: Callable[[int], Value], num_items: int, stop: threading.Event) -> list[Value]:
    """The results of ``work`` for every number below ``num_items``, in order.

    Raises:
        StoppingError: ``stop`` was set.
    """

    def piece(start: int) -> list[Value]:
        if stop.is_set():
            raise StoppingError("reading the images was cut off because the run is being stopped")
        return [work(number) for number in range(start, min(start + _PIECE, num_items))]

    with warnings.catch_warnings(), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        warnings.filterwarnings("ignore", module="PIL")  # usable files may have odd metadata
        pieces = list(pool.map(piece, range(0, num_items, _PIECE)))
    return [value for values in pieces for value in values]
