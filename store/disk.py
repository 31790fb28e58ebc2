"""Atomic writes, locks, checksums, and disk errors as one line for the user."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import resource
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from fairnad.errors import StorageError
from fairnad.open_files import shortage_text

_SEAL = "seal.json"


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` into a :class:`StorageError` about ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise StorageError(shortage_text(resource.getrlimit(resource.RLIMIT_NOFILE)[0])) from error
        raise storage_error(path, (error.strerror or str(error)).lower()) from error


def storage_error(path: Path, reason: str) -> StorageError:
    """The error for a full disk or a failed access."""
    return StorageError(
        f"{path} must be readable and writable, but: {reason}; nothing that was stored is lost: "
        "free some space or fix the permissions, then run the same command again"
    )


def write_whole(path: Path, pieces: Iterable[str], *, durable: bool = False) -> None:
    """Write ``path`` atomically: a reader finds the old file or the new one, also after a kill.

    Args:
        pieces: the text in parts of any size, written as UTF-8; lone surrogates are escaped.
        durable: whether the file must also survive a power cut.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    with whole_file(path, durable=durable) as file:
        for piece in pieces:
            file.write(piece.encode("utf-8", "backslashreplace"))


@contextlib.contextmanager
def whole_file(path: Path, *, durable: bool) -> Iterator[BinaryIO]:
    """A file that replaces ``path`` when it is complete; after an error the old file stays.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    with disk_errors(path), contextlib.ExitStack() as undo:
        undo.callback(partial.unlink, missing_ok=True)
        with partial.open("wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)


def lock(path: Path, *, wait: bool, shared: bool = False) -> int:
    """Lock an existing file or folder until the returned descriptor is closed.

    The kernel releases the lock when the process ends; child programs do not inherit it.

    Args:
        wait: whether to wait until no other process holds it.
        shared: whether other processes may hold a shared lock too; for processes that only test the lock.

    Raises:
        BlockingIOError: another process holds it, and ``wait`` is false.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def seal(folder: Path, label: str) -> None:
    """Store the checksums of a folder's files, for :func:`is_sealed`."""
    (folder / _SEAL).write_text(json.dumps({"label": label, "files": _checksums(folder)}), encoding="utf-8")


def is_sealed(folder: Path, label: str) -> bool:
    """Whether ``folder`` was sealed with this label and no file below it has changed since."""
    try:
        stored = json.loads((folder / _SEAL).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return bool(stored == {"label": label, "files": _checksums(folder)})


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / _SEAL)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
