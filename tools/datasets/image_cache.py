"""Caches decoded images of a folder on disk.

``<cache>/<folder>-<listing>/`` holds the scan and an array for each image size, which is memory-mapped; for images of
more than 8 bits also for each value range. The folder name depends on names, sizes and modification times of the files;
entries of older contents are removed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fairnad.domain.task import LeftOut
from tools.datasets.folder_listing import Listing
from tools.datasets.image_decoding import Ranges
from tools.datasets.image_scan import Pixels, Scan, Span, decode_into, scan
from tools.sandbox.scratch import writing

_VERSION = 2
"""Increase whenever the same files would be decoded to different pixels."""

_UNUSABLE = (OSError, ValueError, LookupError, TypeError)
"""Errors of reading a missing or damaged cache file, which is then written again."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Images uint8 (N, 3, size, size), mapped from disk, of which ``rows``, int64 (M,), are whole.

    ``numbers``, int64 (M,), are the numbers of these rows in the listing; ``broken`` and ``flat`` those of damaged
    files and of images of one colour.
    """

    images: NDArray[np.uint8]
    rows: NDArray[np.int64]
    numbers: NDArray[np.int64]
    broken: NDArray[np.int64]
    flat: NDArray[np.int64]


class ImageCache:
    """The cache of one listing."""

    def __init__(self, cache: Path, listing: Listing, stop: threading.Event) -> None:
        """Nothing is read or written yet.

        Args:
            cache: the folder of all caches.
            stop: ends decoding soon after it is set.
        """
        place = hashlib.sha256(os.fsencode(listing.root.resolve())).hexdigest()[:8]
        reader = f"{version('pillow')}-{_VERSION}"
        content = hashlib.sha256(f"{listing.digest()} {reader}".encode()).hexdigest()[:16]
        self._listing = listing
        self._stop = stop
        self._folder = cache / f"{place}-{content}"
        self._older = f"{place}-*"

    def scan(self) -> Scan:
        """:func:`tools.datasets.image_scan.scan` of the listing.

        Raises:
            StorageError: the cache cannot be written.
            StoppingError: reading was cut off.
        """
        path = self._folder / "scan.json"
        with contextlib.suppress(*_UNUSABLE):
            stored = json.loads(path.read_text())
            left_out = {int(number): LeftOut(reason) for number, reason in stored["left_out"].items()}
            spans = {int(number): Span(*span) for number, span in stored["spans"].items()}
            return Scan(left_out, np.array(stored["sides"], np.int64).reshape(-1, 2), spans)
        found = scan(self._listing, self._stop)
        content = {"left_out": found.left_out, "sides": found.sides.tolist(), "spans": found.spans}
        with self._writing():
            _write(path, json.dumps(content))
        return found

    def decoded(self, found: Scan, size: int, ranges: Ranges) -> Decoded:
        """The usable files as square images of side ``size``; values of more than 8 bits are scaled by ``ranges``.

        Raises:
            StorageError: the cache cannot be written.
            StoppingError: reading was cut off.
        """
        numbers = found.usable
        digest = hashlib.sha256(repr(sorted(ranges.items())).encode()).hexdigest()[:8]
        name = f"{size}-{digest}" if found.spans else f"{size}"
        array, index = self._folder / f"{name}.npy", self._folder / f"{name}.json"
        try:
            outcomes = np.array(json.loads(index.read_text()), np.uint8)
            images = _map(array, (len(numbers), 3, size, size))
        except _UNUSABLE:
            with self._writing():
                images, outcomes = self._decode(array, numbers, size, ranges)
                _write(index, json.dumps(outcomes.tolist()))
        rows = np.flatnonzero(outcomes != Pixels.BROKEN)
        broken, flat = numbers[outcomes == Pixels.BROKEN], numbers[outcomes == Pixels.FLAT]
        return Decoded(images, rows, numbers[rows], broken, flat)

    def _decode(
        self, array: Path, numbers: NDArray[np.int64], size: int, ranges: Ranges
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        files = self._listing.files
        partial = array.with_name(f"{array.name}.{os.getpid()}")
        _check_room(array.parent, 3 * size**2 * len(numbers))
        try:
            images = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(numbers), 3, size, size))
            with partial.open("r+b") as file:
                # Writing to a mapped page of a full disk would kill the process.
                os.posix_fallocate(file.fileno(), 0, partial.stat().st_size)
            paths = [self._listing.path(files[number]) for number in numbers]
            outcomes = decode_into(images, paths, ranges, self._stop)
            images.flush()
            partial.replace(array)
        finally:
            partial.unlink(missing_ok=True)
        return images, outcomes

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with writing(self._folder, "decoded images"):
            if not self._folder.is_dir():
                for older in self._folder.parent.glob(self._older):
                    shutil.rmtree(older, ignore_errors=True)
                self._folder.mkdir(parents=True, exist_ok=True)
            yield


def _check_room(folder: Path, num_bytes: int) -> None:
    """Check the free space before writing anything.

    Raises:
        OSError: the disk has too little space.
    """
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise OSError(errno.ENOSPC, f"{num_bytes:,} bytes are needed and {free:,} are left")


def _map(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    images: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    if images.shape != shape or images.dtype != np.uint8:
        raise ValueError(f"{path} holds other arrays than expected")
    return images


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.replace(path)
