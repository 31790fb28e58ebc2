"""SQLite files of a run: how each is opened, and what goes wrong with one in a user's words."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from fairnad.errors import RunFolderError
from store.disk import storage_error

_DISK_ERRORS = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_BUSY")
_CONTENT_ERRORS = ("SQLITE_NOTADB", "SQLITE_CORRUPT")


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """A connection for any number of threads that a lock of the caller's keeps apart; every statement commits.

    Args:
        read_only: read what another process may be writing; where none has it open, nothing is written beside it.
    """
    mode = "ro" if read_only else "rwc"
    if read_only and not path.with_name(f"{path.name}-wal").exists():
        mode += "&immutable=1"  # nobody writes, so that SQLite needs no shared memory, which it would leave behind
    # Every statement is a transaction of its own; the lock, not SQLite's check of thread ids, keeps threads apart.
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=60, isolation_level=None, check_same_thread=False)


@contextlib.contextmanager
def sqlite_errors(path: Path, what: str) -> Iterator[None]:
    """Tell what a user can mend in one line; misuse of SQLite by this program stays what it is.

    Args:
        what: what the file ought to be.

    Raises:
        StorageError: the disk is full, or the file cannot be read or written.
        RunFolderError: the file is another one, or damaged.
    """
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(_DISK_ERRORS):
            raise storage_error(path, str(error)) from error
        if name.startswith(_CONTENT_ERRORS):
            raise RunFolderError(f"expected {what}, found {error}: {path}") from error
        raise
