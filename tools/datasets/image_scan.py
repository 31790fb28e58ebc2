"""A whole image folder, read by as many threads as there are cores: Pillow decodes outside the interpreter's lock."""

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
from tools.datasets.folder_form import Part
from tools.datasets.folder_listing import ListedFile, Listing
from tools.datasets.image_decoding import Header, Ranges, decode, measure, read_header

Value = TypeVar("Value")

_PIECE = 64
"""Files a thread takes at a time; between two pieces it notices that it is to stop."""

_PROBE_SIZE = 8
"""The side in pixels an image is decoded to where only its wholeness counts."""

_KEPT_FIRST = (Part.TEST, Part.VALIDATION, Part.TRAIN)
"""Of equal files in several parts the copy that is kept: never the one to train on."""


class Pixels(IntEnum):
    """What decoding a file came to."""

    BROKEN = 0
    FLAT = 1
    """all of one colour"""
    WHOLE = 2


class Span(NamedTuple):
    """The smallest and the largest value of an image whose mode has no range of its own."""

    mode: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Scan:
    """What a look at every file of a listing found.

    ``left_out`` has the files that are not used, by their number in the listing; ``sides`` has width and height of
    the others as int64 (N, 2), 0 where a file is left out; ``spans`` is of those among them whose values have no range
    of their own. Where there are any, all files have been decoded.
    """

    left_out: dict[int, LeftOut]
    sides: NDArray[np.int64]
    spans: dict[int, Span]

    @property
    def usable(self) -> NDArray[np.int64]:
        """The numbers of the files that seem to be usable, int64 (M,)."""
        return np.flatnonzero(self.sides[:, 0] > 0)


def scan(listing: Listing, stop: threading.Event) -> Scan:
    """Look at every file: is it an image, how large is it, is it there twice, and which values has it?

    Raises:
        StoppingError: ``stop`` was set.
    """
    files = listing.files
    paths = [listing.path(file) for file in files]
    looks = in_threads(lambda number: files[number].problem or read_header(paths[number]), len(files), stop)
    left_out = {number: look for number, look in enumerate(looks) if isinstance(look, LeftOut)}
    left_out |= _repeated(files, paths, left_out, stop)
    headers = {number: look for number, look in enumerate(looks) if isinstance(look, Header) and number not in left_out}
    spans: dict[int, Span] = {}
    if any(header.unscaled for header in headers.values()):
        spans, broken = _measured(headers, paths, stop)
        left_out |= dict.fromkeys(broken, LeftOut.BROKEN)
    sides = np.zeros((len(files), 2), np.int64)
    for number, header in headers.items():
        if number not in left_out:
            sides[number] = header.width, header.height
    return Scan(left_out, sides, spans)


def _measured(
    headers: Mapping[int, Header], paths: Sequence[Path], stop: threading.Event
) -> tuple[dict[int, Span], list[int]]:
    """Every file decoded: the spans, and the numbers of the broken ones.

    Which images are trained on, and so the range of their values, depends on which ones are whole.
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


def _repeated(
    files: Sequence[ListedFile], paths: Sequence[Path], left_out: dict[int, LeftOut], stop: threading.Event
) -> dict[int, LeftOut]:
    """The files to leave out because others have the same content; only files of the same length are compared."""
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
    """Fill ``images``, uint8 (N, 3, size, size), from files, and say what each came to, uint8 (N,) of :class:`Pixels`.

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
    """``work`` of every number below ``num_items``, in order.

    Raises:
        StoppingError: ``stop`` was set.
    """

    def piece(start: int) -> list[Value]:
        if stop.is_set():
            raise StoppingError("reading the images was cut off because the run is being stopped")
        return [work(number) for number in range(start, min(start + _PIECE, num_items))]

    with warnings.catch_warnings(), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        warnings.filterwarnings("ignore", module="PIL")  # odd metadata of a file that can be used is no news
        pieces = list(pool.map(piece, range(0, num_items, _PIECE)))
    return [value for values in pieces for value in values]
