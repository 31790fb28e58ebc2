"""What a run has spent, on disk: every request to a language model, written down before it is sent."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairnad.errors import RunFolderError
from fairnad.ports import CallKey
from fairnad.records.prices import Usage
from store.sqlite_file import connect, sqlite_errors

LEDGER_NAME = "ledger.sqlite"
LOST = "the process ended before the answer: counted at its worst"
"""The note of a reservation that nobody settled."""

_VERSION = 1
_KEY = "number, candidate_id, role, version, part, prompt_digest"
_COLUMNS = f"{_KEY}, model, input_tokens, output_tokens, usd, is_settled, note"
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE requests (
    number INTEGER PRIMARY KEY, candidate_id TEXT NOT NULL, role TEXT NOT NULL, version INTEGER NOT NULL,
    part INTEGER NOT NULL, prompt_digest TEXT NOT NULL, model TEXT NOT NULL, input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL, usd REAL NOT NULL, is_settled INTEGER NOT NULL, note TEXT NOT NULL
);
CREATE TABLE starts (number INTEGER PRIMARY KEY, seconds REAL NOT NULL);
PRAGMA user_version = {_VERSION};
COMMIT;
"""


@dataclass(frozen=True, slots=True)
class SentRequest:
    """One request: what it cost, or, until it is settled, what it can cost at worst."""

    number: int
    key: CallKey
    model: str
    usage: Usage
    is_settled: bool
    note: str


class SqliteLedger:
    """The requests of a run and the seconds it has worked, in one SQLite file; for any number of threads.

    A write has happened when the method returns, and neither a kill -9 nor a power cut loses it. So the sum of all
    requests, those that are not settled at their worst, is never below what an endpoint has counted, as long as no
    request cost more than was reserved for it.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open the ledger at ``path``, or begin it where there is none.

        Args:
            read_only: read a ledger that another process may be writing; it must exist.

        Raises:
            RunFolderError: the file is no ledger, or one of another version.
            StorageError: the disk is full, or the file cannot be read or written.
        """
        self.path = path
        self._lock = threading.Lock()
        with self._errors():
            self._connection = connect(path, read_only=read_only)
        try:
            self._check_schema(read_only)
        except RunFolderError:
            self.close()
            raise

    def _check_schema(self, read_only: bool) -> None:
        with self._errors():
            tables = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master")}
            if not read_only:
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = FULL")
            if not read_only and not tables:
                self._connection.executescript(_SCHEMA)
                return
            ((version,),) = self._connection.execute("PRAGMA user_version").fetchall()
        if not tables >= {"requests", "starts"} or version != _VERSION:
            raise RunFolderError(f"expected the ledger of a run, found another database: {self.path}")

    def reserve(self, number: int, key: CallKey, model: str, most: Usage) -> None:
        """Write down a request that is about to be sent, under a number that no other has."""
        columns = (number, key.candidate_id, key.role, key.version, key.part, key.prompt_digest, model)
        marks = ", ".join("?" * 12)
        values = (*columns, most.input_tokens, most.output_tokens, most.usd, 0, "")
        self._write(f"INSERT INTO requests ({_COLUMNS}) VALUES ({marks})", *values)

    def settle(self, number: int, spent: Usage, note: str) -> None:
        """Put what a request has cost in the place of its worst."""
        what = "input_tokens = ?, output_tokens = ?, usd = ?, is_settled = 1, note = ?"
        values = (spent.input_tokens, spent.output_tokens, spent.usd, note, number)
        self._write(f"UPDATE requests SET {what} WHERE number = ?", *values)

    def settle_lost(self) -> None:
        """Count what an earlier process reserved and did not settle as spent: nobody knows what came of it."""
        self._write("UPDATE requests SET is_settled = 1, note = ? WHERE is_settled = 0", LOST)

    def spent(self) -> Usage:
        """The sum of all requests, those that are not settled at their worst."""
        sums = "COALESCE(SUM(input_tokens), 0), COALESCE(SUM(output_tokens), 0), COALESCE(SUM(usd), 0.0)"
        ((read, written, usd),) = self._read(f"SELECT {sums} FROM requests")
        return Usage(read, written, usd)

    def requests(self) -> Iterator[SentRequest]:
        """Every request, in the order they were sent."""
        for number, *key, model, read, written, usd, is_settled, note in self._read(
            f"SELECT {_COLUMNS} FROM requests ORDER BY number"
        ):
            yield SentRequest(number, CallKey(*key), model, Usage(read, written, usd), bool(is_settled), note)

    def next_number(self) -> int:
        """The first number that no request has."""
        ((newest,),) = self._read("SELECT COALESCE(MAX(number), 0) FROM requests")
        return int(newest) + 1

    def begin_work(self) -> int:
        """The number of this start of the run, for :meth:`note_work`."""
        ((newest,),) = self._read("SELECT COALESCE(MAX(number), 0) FROM starts")
        self._write("INSERT INTO starts VALUES (?, 0.0)", newest + 1)
        return int(newest) + 1

    def note_work(self, start: int, seconds: float) -> None:
        """For how long the run has worked since it was started."""
        self._write("UPDATE starts SET seconds = ? WHERE number = ?", seconds, start)

    def worked_seconds(self) -> float:
        """All starts together."""
        ((seconds,),) = self._read("SELECT COALESCE(SUM(seconds), 0.0) FROM starts")
        return float(seconds)

    def close(self) -> None:
        """Close the file; a second time changes nothing."""
        with self._lock, self._errors():
            self._connection.close()

    def _errors(self) -> contextlib.AbstractContextManager[None]:
        return sqlite_errors(self.path, "the ledger of a run")

    def _write(self, statement: str, *values: object) -> None:
        with self._lock, self._errors():
            self._connection.execute(statement, values)

    def _read(self, query: str, *values: object) -> list[Any]:
        with self._lock, self._errors():
            return self._connection.execute(query, values).fetchall()
