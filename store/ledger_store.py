"""The spending of a run on disk: every request to a language model, reserved before it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fairnad.errors import RunFolderError
from fairnad.ports import CallKey
from fairnad.records.prices import Usage
from store.sqlite_file import SqliteFile

LEDGER_NAME = "ledger.sqlite"
LOST = "the process ended before the answer: the highest possible cost is counted"
"""The note of a reservation that was never settled."""

_VERSION = 1
_KEY = "number, candidate_id, role, version, part, prompt_digest"
_COLUMNS = f"{_KEY}, model, input_tokens, output_tokens, usd, is_settled, note"
_SCHEMA = f"""
CREATE TABLE requests (
    number INTEGER PRIMARY KEY, candidate_id TEXT NOT NULL, role TEXT NOT NULL, version INTEGER NOT NULL,
    part INTEGER NOT NULL, prompt_digest TEXT NOT NULL, model TEXT NOT NULL, input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL, usd REAL NOT NULL, is_settled INTEGER NOT NULL, note TEXT NOT NULL
);
CREATE TABLE starts (number INTEGER PRIMARY KEY, seconds REAL NOT NULL);
PRAGMA user_version = {_VERSION};
"""


@dataclass(frozen=True, slots=True)
class SentRequest:
    """One request with its cost, or until it is settled the most it can cost."""

    number: int
    key: CallKey
    model: str
    usage: Usage
    is_settled: bool
    note: str


class SqliteLedger(SqliteFile):
    """The requests of a run and the seconds it has worked, in one SQLite file.

    The sum of all requests, with unsettled ones at their worst, is never below what an endpoint has counted, provided
    that no request costs more than was reserved for it.
    """

    CONTENT = "the ledger of a run"
    SCHEMA = _SCHEMA
    TABLES = frozenset({"requests", "starts"})

    def _check_version(self) -> None:
        ((version,),) = self._read("PRAGMA user_version")
        if version != _VERSION:
            raise RunFolderError(f"expected {self.CONTENT}, found another database: {self.path}")

    def reserve(self, number: int, key: CallKey, model: str, most: Usage) -> None:
        """Store a request that is about to be sent, under a unique number."""
        columns = (number, key.candidate_id, key.role, key.version, key.part, key.prompt_digest, model)
        marks = ", ".join("?" * 12)
        values = (*columns, most.input_tokens, most.output_tokens, most.usd, 0, "")
        self._write(f"INSERT INTO requests ({_COLUMNS}) VALUES ({marks})", *values)

    def settle(self, number: int, spent: Usage, note: str) -> None:
        """Replace the reserved cost of a request by the real one."""
        what = "input_tokens = ?, output_tokens = ?, usd = ?, is_settled = 1, note = ?"
        values = (spent.input_tokens, spent.output_tokens, spent.usd, note, number)
        self._write(f"UPDATE requests SET {what} WHERE number = ?", *values)

    def settle_lost(self) -> None:
        """Count reservations that an earlier process did not settle as spent."""
        self._write("UPDATE requests SET is_settled = 1, note = ? WHERE is_settled = 0", LOST)

    def spent(self) -> Usage:
        """The sum of all requests, with unsettled ones at their worst."""
        sums = "COALESCE(SUM(input_tokens), 0), COALESCE(SUM(output_tokens), 0), COALESCE(SUM(usd), 0.0)"
        ((read, written, usd),) = self._read(f"SELECT {sums} FROM requests")
        return Usage(read, written, usd)

    def requests(self) -> Iterator[SentRequest]:
        """Every request, in the order of sending."""
        for number, *key, model, read, written, usd, is_settled, note in self._read(
            f"SELECT {_COLUMNS} FROM requests ORDER BY number"
        ):
            yield SentRequest(number, CallKey(*key), model, Usage(read, written, usd), bool(is_settled), note)

    def next_number(self) -> int:
        """The first unused number of a request."""
        ((newest,),) = self._read("SELECT COALESCE(MAX(number), 0) FROM requests")
        return int(newest) + 1

    def begin_work(self) -> int:
        """The number of this start of the run, for :meth:`note_work`."""
        ((newest,),) = self._read("SELECT COALESCE(MAX(number), 0) FROM starts")
        self._write("INSERT INTO starts VALUES (?, 0.0)", newest + 1)
        return int(newest) + 1

    def note_work(self, start: int, seconds: float) -> None:
        """Store for how long the run has worked since this start."""
        self._write("UPDATE starts SET seconds = ? WHERE number = ?", seconds, start)

    def worked_seconds(self) -> float:
        """The working time of all starts."""
        ((seconds,),) = self._read("SELECT COALESCE(SUM(seconds), 0.0) FROM starts")
        return float(seconds)
