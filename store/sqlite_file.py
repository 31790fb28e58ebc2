"""SQLite files of a run."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from fairnad.errors import FairnadError, RunFolderError
from store.disk import storage_error

_DISK_ERRORS = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_BUSY")
_CONTENT_ERRORS = ("SQLITE_NOTADB", "SQLITE_CORRUPT")


class SqliteFile:
    """One SQLite file, for any number of threads of one writing process.

    A write is complete when the method returns. In WAL mode a kill -9 loses no commit; ``synchronous = FULL`` also
    protects against a power cut, for one fsync per write. Errors name the file in one line: StorageError if the disk
    is full or cannot be written, RunFolderError if the file is damaged or of another kind.

    Args:
        read_only: read a file that another process may be writing; it must exist. If no process has it open, later
            writes are not seen.
    """

    CONTENT: ClassVar[str]
    """What the file is, for messages."""
    SCHEMA: ClassVar[str]
    TABLES: ClassVar[frozenset[str]]

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._lock = threading.Lock()
        mode = "ro" if read_only else "rwc"
        if read_only and not path.with_name(f"{path.name}-wal").exists():
            mode += "&immutable=1"  # no writer, so SQLite needs no shared memory, which it would leave behind
        uri = f"{path.absolute().as_uri()}?mode={mode}"
        with self._errors():
            # Every statement is a transaction; the lock, not SQLite's check of thread ids, keeps threads apart.
            self._connection = sqlite3.connect(uri, uri=True, timeout=60, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(read_only=read_only)
        except FairnadError:
            self.close()
            raise

    def _prepare(self, *, read_only: bool) -> None:
        with self._errors():
            tables = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master")}
            if not read_only and (not tables or tables >= self.TABLES):
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = FULL")
            if not read_only and not tables:
                self._connection.executescript(f"BEGIN IMMEDIATE;{self.SCHEMA}COMMIT;")
                return
        if not tables >= self.TABLES:
            raise RunFolderError(f"expected {self.CONTENT}, found another database: {self.path}")
        self._check_version()

    def _check_version(self) -> None:
        """Raise :class:`RunFolderError` if another version of the program made the file."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self._lock, self._errors():
            self._connection.close()

    def _write(self, statement: str, *values: object) -> None:
        with self._lock, self._errors():
            self._connection.execute(statement, values)

    def _read(self, query: str, *values: object) -> list[Any]:
        with self._lock, self._errors():
            return self._connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            if name.startswith(_DISK_ERRORS):
                raise storage_error(self.path, str(error)) from error
            if name.startswith(_CONTENT_ERRORS):
                raise RunFolderError(f"expected {self.CONTENT}, found {error}: {self.path}") from error
            raise
