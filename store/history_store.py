"""𝒟hist on disk: one SQLite file that holds every record, step and answer of a run, and nothing twice.

``python -m store.history_store runs/NAME`` prints a short table of a run, also while it is running; with ``--jsonl``
every record as one JSON object a line, in the order of drawing. :mod:`store.record_lines` names the keys.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from fairnad import __version__
from fairnad.errors import FairnadError, RunFolderError, UserError
from fairnad.ports import Answer, CallKey
from fairnad.records.candidate import Call, plain
from fairnad.records.history import Record
from store.record_lines import json_line, table
from store.sqlite_file import connect, sqlite_errors

FILE_NAME = "history.sqlite"
SCHEMA_VERSION = 1
"""Changes whenever a stored run cannot be continued by the program of before."""

_RECORD = TypeAdapter(Record)
_ANSWER = TypeAdapter(Answer)

_TABLES = {"meta", "steps", "records", "calls"}
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE steps (
    candidate_id TEXT NOT NULL, step TEXT NOT NULL, version INTEGER NOT NULL, result TEXT NOT NULL,
    PRIMARY KEY (candidate_id, step, version)
);
CREATE INDEX steps_of_a_kind ON steps (step, version);
CREATE TABLE records (
    candidate_id TEXT PRIMARY KEY, generation INTEGER NOT NULL, stage INTEGER NOT NULL, round INTEGER NOT NULL,
    draw INTEGER NOT NULL, slot INTEGER NOT NULL, record TEXT NOT NULL
);
CREATE TABLE calls (
    candidate_id TEXT NOT NULL, role TEXT NOT NULL, version INTEGER NOT NULL, part INTEGER NOT NULL,
    prompt_digest TEXT NOT NULL, answer TEXT NOT NULL,
    PRIMARY KEY (candidate_id, role, version, part, prompt_digest)
);
"""


class StepResult(NamedTuple):
    """A finished step of a candidate with its stored result."""

    step: str
    version: int
    result: Mapping[str, object]


class SqliteHistory:
    """:class:`fairnad.ports.HistoryStore` on one SQLite file, for any number of threads of one writing process.

    A write has happened when the method returns. In WAL mode a commit is in the hands of the operating system, so a
    kill -9 loses none at any ``synchronous``; FULL makes the disk confirm it too, so that a power cut loses none
    either. That costs one fsync a write, nothing beside a training or an answer that would have to be paid for again.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open the history at ``path``, or begin it where there is none.

        Args:
            read_only: read a history that another process may be writing; it must exist. Where none has it open
                now, nothing is written beside it, and what is written later is not seen.

        Raises:
            RunFolderError: the file is no history, or one of another version.
            StorageError: the disk is full, or the file cannot be read or written.
        """
        self.path = path
        self._lock = threading.Lock()
        # A stored record never changes, so each is parsed once: the newest row that was, and the records up to it.
        self._loaded: tuple[int, tuple[Record, ...]] = (0, ())
        if read_only and not path.is_file():
            raise RunFolderError(f"expected a run folder, found no {path.name} in {path.parent}")
        with self._errors():
            self._connection = connect(path, read_only=read_only)
        try:
            self._check_schema(read_only)
        except FairnadError:
            self.close()
            raise

    def _check_schema(self, read_only: bool) -> None:
        with self._errors():
            tables = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master")}
            if not read_only and (not tables or tables >= _TABLES):
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = FULL")
            if not read_only and not tables:
                version = f"INSERT INTO meta VALUES ('schema version', '{SCHEMA_VERSION}');"
                self._connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}{version}COMMIT;")
                return
        if not tables >= _TABLES:
            raise RunFolderError(f"expected the history of a run, found another database: {self.path}")
        found = self._meta("schema version")
        if found != str(SCHEMA_VERSION):
            raise RunFolderError(
                f"{self.path} is of version {found}, this program reads version {SCHEMA_VERSION}: "
                "choose another --run, or use the program that made it"
            )

    def find_step(self, candidate_id: str, step: str, version: int) -> Mapping[str, object] | None:
        """The stored result of a step, ``None`` where it was never finished."""
        where = "candidate_id = ? AND step = ? AND version = ?"
        rows = self._read(f"SELECT result FROM steps WHERE {where}", candidate_id, step, version)
        return json.loads(rows[0][0]) if rows else None

    def add_step(self, candidate_id: str, step: str, version: int, result: Mapping[str, object]) -> None:
        """Store the result of a step, which is JSON data; a second one of the same key changes nothing."""
        self._add("steps", candidate_id, step, version, _dump(result))

    def find_steps(self, step: str, version: int) -> Sequence[tuple[str, Mapping[str, object]]]:
        """(candidate id, result) of every candidate that took the step, in the order they were stored."""
        query = "SELECT candidate_id, result FROM steps WHERE step = ? AND version = ? ORDER BY rowid"
        return [(candidate_id, json.loads(text)) for candidate_id, text in self._read(query, step, version)]

    def steps(self, candidate_id: str) -> list[StepResult]:
        """Every finished step of a candidate, in the order they were finished."""
        query = "SELECT step, version, result FROM steps WHERE candidate_id = ? ORDER BY rowid"
        return [StepResult(step, version, json.loads(text)) for step, version, text in self._read(query, candidate_id)]

    def candidate_ids(self) -> list[str]:
        """Every candidate that has finished a step or is recorded, in alphabetical order."""
        rows = self._read("SELECT candidate_id FROM steps UNION SELECT candidate_id FROM records ORDER BY candidate_id")
        return [candidate_id for (candidate_id,) in rows]

    def find_record(self, candidate_id: str) -> Record | None:
        """The record of that id, ``None`` where there is none yet."""
        rows = self._read("SELECT record FROM records WHERE candidate_id = ?", candidate_id)
        return _RECORD.validate_python(json.loads(rows[0][0])) if rows else None

    def add_record(self, record: Record) -> None:
        """Store a candidate's record; a second one of the same id changes nothing."""
        generation, stage, repeat, draw, slot = record.place.order
        self._add("records", record.candidate_id, generation, stage, repeat, draw, slot, _dump(record))

    def records(self) -> Sequence[Record]:
        """Every record, in the order of drawing."""
        newest, records = self._loaded
        rows = self._read("SELECT rowid, record FROM records WHERE rowid > ? ORDER BY rowid", newest)
        if rows:
            added = [_RECORD.validate_python(json.loads(text)) for _, text in rows]
            records = tuple(sorted((*records, *added), key=lambda record: record.place.order))
            self._loaded = rows[-1][0], records
        return records

    def find_answer(self, key: CallKey) -> Answer | None:
        """The stored answer of a call, ``None`` where it was never answered."""
        where = "candidate_id = ? AND role = ? AND version = ? AND part = ? AND prompt_digest = ?"
        columns = (key.candidate_id, key.role, key.version, key.part, key.prompt_digest)
        rows = self._read(f"SELECT answer FROM calls WHERE {where}", *columns)
        return _ANSWER.validate_python(json.loads(rows[0][0])) if rows else None

    def add_answer(self, key: CallKey, answer: Answer) -> None:
        """Store an answer; a second one of the same key changes nothing."""
        columns = (key.candidate_id, key.role, key.version, key.part, key.prompt_digest)
        self._add("calls", *columns, _dump(answer))

    def answers(self) -> Iterator[tuple[CallKey, Answer]]:
        """Every call with its answer, in the order they were answered."""
        query = "SELECT candidate_id, role, version, part, prompt_digest, answer FROM calls ORDER BY rowid"
        for *columns, text in self._read(query):
            yield CallKey(*columns), _ANSWER.validate_python(json.loads(text))

    def calls(self, candidate_id: str) -> Sequence[Call]:
        """The calls made for one candidate, in the order they were answered."""
        rows = self._read("SELECT answer FROM calls WHERE candidate_id = ? ORDER BY rowid", candidate_id)
        return [_ANSWER.validate_python(json.loads(text)).call for (text,) in rows]

    def num_calls(self, candidate_id: str, role: str, version: int) -> int:
        """How many calls a role needed for one version of a candidate; ``role`` may be the beginning of its name."""
        where = "candidate_id = ? AND version = ? AND role LIKE ? || '%'"
        return int(self._read(f"SELECT count(*) FROM calls WHERE {where}", candidate_id, version, role)[0][0])

    def status(self) -> str:
        """What :meth:`set_status` was last given, empty before."""
        return self._meta("status")

    def set_status(self, status: str) -> None:
        """Remember how far the run is, in a word of the caller's."""
        self._write("INSERT OR REPLACE INTO meta VALUES ('status', ?)", status)

    def pack_digest(self) -> str:
        """The digest of the pack the records were made with, empty where none was noted."""
        return self._meta("pack digest")

    def pack_files(self) -> Mapping[str, str]:
        """The digest of each file of that pack, by name; empty where none was noted."""
        found: Mapping[str, str] = json.loads(self._meta("pack files") or "{}")
        return found

    def note_pack(self, digest: str, files: Mapping[str, str]) -> None:
        """Remember the digests of the pack that records are made with from now on, and of each of its files."""
        values = "('pack digest', ?), ('pack files', ?)"
        self._write(f"INSERT OR REPLACE INTO meta VALUES {values}", digest, json.dumps(files))

    def close(self) -> None:
        """Close the file; a second time changes nothing."""
        with self._lock, self._errors():
            self._connection.close()

    def _errors(self) -> contextlib.AbstractContextManager[None]:
        return sqlite_errors(self.path, "the history of a run")

    def _meta(self, name: str) -> str:
        rows = self._read("SELECT value FROM meta WHERE name = ?", name)
        return rows[0][0] if rows else ""

    def _add(self, table: str, *values: object) -> None:
        self._write(f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(values))})", *values)

    def _write(self, statement: str, *values: object) -> None:
        with self._lock, self._errors():
            self._connection.execute(statement, values)

    def _read(self, query: str, *values: object) -> list[Any]:
        with self._lock, self._errors():
            return self._connection.execute(query, values).fetchall()


def _dump(value: object) -> str:
    # Escaped to ASCII: replies may hold what has no UTF-8 form, which SQLite would refuse.
    return json.dumps(plain(value), separators=(",", ":"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the records of a run.

    Returns:
        0, also where the reader of the output goes away early; 2 where the folder holds no run.
    """
    try:
        return _print_records(arguments)
    except BrokenPipeError:
        # What is still buffered would raise again when the interpreter closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _print_records(arguments: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m store.history_store", description="Prints the records of a run.")
    parser.add_argument("--version", action="version", version=f"FairNAD {__version__}")
    parser.add_argument("folder", type=Path, help="run folder, for example runs/digits-0")
    parser.add_argument("--jsonl", action="store_true", help="one JSON object a line instead of a table")
    try:
        options = parser.parse_args(arguments)
        records = _read_records(options.folder)
        for line in map(json_line, records) if options.jsonl else table(records):
            print(line)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()
    return 0


def _read_records(folder: Path) -> Sequence[Record]:
    with contextlib.closing(SqliteHistory(folder / FILE_NAME, read_only=True)) as history:
        return history.records()


if __name__ == "__main__":
    sys.exit(main())
