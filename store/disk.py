"""Files that are written whole or not at all, and what goes wrong with a disk in a user's words."""

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
    """Turn an ``OSError`` on the way into one line about ``path``.

    Raises:
        StorageError: the disk is full, or the place cannot be read or written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise StorageError(shortage_text(resource.getrlimit(resource.RLIMIT_NOFILE)[0])) from error
        raise storage_error(path, (error.strerror or str(error)).lower()) from error


def storage_error(path: Path, reason: str) -> StorageError:
    """The one line for a disk that refuses, as every part of the store says it."""
    return StorageError(
        f"{path} must be readable and writable, but: {reason}; nothing that was stored is lost: "
        "make room or mend the permissions, then run the same command again"
    )


def write_whole(path: Path, pieces: Iterable[str], *, durable: bool = False) -> None:
    """Write ``path`` so that a reader, or whoever comes after a kill, finds the old file or the new one.

    Args:
        pieces: the text, in parts of any size, written as UTF-8; what has no UTF-8 form is escaped.
        durable: whether the file must also survive a power cut.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    with whole_file(path, durable=durable) as file:
        for piece in pieces:
            file.write(piece.encode("utf-8", "backslashreplace"))


@contextlib.contextmanager
def whole_file(path: Path, *, durable: bool) -> Iterator[BinaryIO]:
    """A file to write into that takes the place of ``path`` once it is whole; after an error the old one stays.

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
    """Lock a file or folder that exists, until the descriptor that comes back is closed.

    However the process ends, the kernel lets go of the lock; programs it starts do not inherit it.

    Args:
        wait: whether to wait until nobody else holds it.
        shared: whether others may hold it too, all of them shared: for those who only ask whether it is held.

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
    """Note down what ``folder`` holds, to be asked for by :func:`is_sealed`."""
    (folder / _SEAL).write_text(json.dumps({"label": label, "files": _checksums(folder)}), encoding="utf-8")


def is_sealed(folder: Path, label: str) -> bool:
    """Whether ``folder`` was sealed under this label and every file below it is still as it was then."""
    try:
        noted = json.loads((folder / _SEAL).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return bool(noted == {"label": label, "files": _checksums(folder)})


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / _SEAL)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
