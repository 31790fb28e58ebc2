"""The scratch folder, which the parent and the jobs write to: a full disk is told as what it is."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from fairnad.errors import StorageError

_MIN_FREE_BYTES = 2**20


@contextlib.contextmanager
def writing(folder: Path, what: str = "a job's files") -> Iterator[None]:
    """Turn an ``OSError`` on the way into one line about ``folder`` and ``what`` is written to it.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise _storage_error(folder, what, (error.strerror or str(error)).lower()) from error


def check_room(folder: Path) -> None:
    """Make sure that a job did not fail for want of room on the disk, which would not be its fault.

    Raises:
        StorageError: there is hardly any left.
    """
    free = shutil.disk_usage(folder).free
    if free < _MIN_FREE_BYTES:
        raise _storage_error(folder, "a job's files", f"the disk has {free} bytes left")


def _storage_error(folder: Path, what: str, reason: str) -> StorageError:
    return StorageError(
        f"{folder}: expected a folder to write {what} to, but: {reason}; make room or mend the permissions, "
        "then run the same command again"
    )
