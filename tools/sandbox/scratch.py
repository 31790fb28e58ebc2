"""Errors of writing to the scratch folder: a full disk is reported as one."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from fairnad.errors import StorageError

_MIN_FREE_BYTES = 2**20


@contextlib.contextmanager
def writing(folder: Path, what: str = "a job's files") -> Iterator[None]:
    """Turn an ``OSError`` into a message of one line about ``folder`` and ``what`` is written to it.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise _storage_error(folder, what, (error.strerror or str(error)).lower()) from error


def check_room(folder: Path) -> None:
    """Check after a failed job that the disk is not full, which would be the cause.

    Raises:
        StorageError: it is.
    """
    free = shutil.disk_usage(folder).free
    if free < _MIN_FREE_BYTES:
        raise _storage_error(folder, "a job's files", f"the disk has {free} bytes left")


def _storage_error(folder: Path, what: str, reason: str) -> StorageError:
    return StorageError(
        f"{folder}: expected a folder to write {what} to, but: {reason}; make room or fix the permissions, "
        "then run the same command again"
    )
