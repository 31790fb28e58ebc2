"""𝒟hist on disk: one SQLite file with every record, step and answer of a run.

``python -m store.history_store runs/NAME`` prints a table of the records, also while the run is going on; with
``--jsonl`` one JSON object per record, failures included, in the order of drawing. :mod:`store.record_lines` lists the
keys.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter

from fairnad import __version__
from fairnad.errors import RunFolderError, UserError
from fairnad.ports import Answer, CallKey
from fairnad.records.candidate import Call, plain
from fairnad.records.history import History, Record
from store.record_lines import json_line, table
from store.sqlite_file import SqliteFile

FILE_NAME = "history.sqlite"
SCHEMA_VERSION = 1
"""Changes whenever the previous version of the program could not continue a stored run."""

_RECORD = TypeAdapter(Record)
_ANSWER = TypeAdapter(Answer)

_SCHEMA = f"""
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
INSERT INTO meta VALUES ('schema version', '{SCHEMA_VERSION}');
"""
_CALL = "candidate_id, role, version, part, prompt_digest"


class StepResult(NamedTuple):
    """A finished step of a candidate with its stored result."""

    step: str
    version: int
    result: Mapping[str, object]


class SqliteHistory(SqliteFile):
    """:class:`fairnad.ports.HistoryStore` on one SQLite file."""

    CONTENT = "the history of a run"
    SCHEMA = _SCHEMA
    TABLES = frozenset({"meta", "steps", "records", "calls"})

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        if read_only and not path.is_file():
            raise RunFolderError(f"expected a run folder, found no {path.name} in {path.parent}")
        # Stored records never change, so each is parsed once; this is the newest parsed row and the records up to it.
        self._loaded: tuple[int, tuple[Record, ...]] = (0, ())
        super().__init__(path, read_only=read_only)

    def _check_version(self) -> None:
        found = self._meta("schema version")
        if found != str(SCHEMA_VERSION):
            raise RunFolderError(
                f"{self.path} has version {found}, this program reads version {SCHEMA_VERSION}: "
                "choose another --run, or use the version that wrote it"
            )

    def find_step(self, candidate_id: str, step: str, version: int) -> Mapping[str, object] | None:
        """The stored result of a step, or ``None``."""
        where = "candidate_id = ? AND step = ? AND version = ?"
        rows = self._read(f"SELECT result FROM steps WHERE {where}", candidate_id, step, version)
        return json.loads(rows[0][0]) if rows else None

    def add_step(self, candidate_id: str, step: str, version: int, result: Mapping[str, object]) -> None:
        """Store the result of a step, which is JSON data; a second one with the same key is ignored."""
        self._add("steps", candidate_id, step, version, _dump(result))

    def find_steps(self, step: str, version: int) -> Sequence[tuple[str, Mapping[str, object]]]:
        """(candidate id, result) of every candidate that took the step, in the order of storage."""
        query = "SELECT candidate_id, result FROM steps WHERE step = ? AND version = ? ORDER BY rowid"
        return [(candidate_id, json.loads(text)) for candidate_id, text in self._read(query, step, version)]

    def steps(self, candidate_id: str) -> list[StepResult]:
        """Every finished step of a candidate, in order."""
        query = "SELECT step, version, result FROM steps WHERE candidate_id = ? ORDER BY rowid"
        return [StepResult(step, version, json.loads(text)) for step, version, text in self._read(query, candidate_id)]

    def candidate_ids(self) -> list[str]:
        """Every candidate that has finished a step or is recorded, in alphabetical order."""
        rows = self._read("SELECT candidate_id FROM steps UNION SELECT candidate_id FROM records ORDER BY candidate_id")
        return [candidate_id for (candidate_id,) in rows]

    def find_record(self, candidate_id: str) -> Record | None:
        """The record with that id, or ``None``."""
        rows = self._read("SELECT record FROM records WHERE candidate_id = ?", candidate_id)
        return _RECORD.validate_python(json.loads(rows[0][0])) if rows else None

    def add_record(self, record: Record) -> None:
        """Store a candidate's record; a second one with the same id is ignored."""
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
        """The stored answer of a call, or ``None``."""
        rows = self._read(f"SELECT answer FROM calls WHERE ({_CALL}) = (?, ?, ?, ?, ?)", *plain(key).values())
        return _ANSWER.validate_python(json.loads(rows[0][0])) if rows else None

    def add_answer(self, key: CallKey, answer: Answer) -> None:
        """Store an answer; a second one with the same key is ignored."""
        self._add("calls", *plain(key).values(), _dump(answer))

    def answers(self) -> Iterator[tuple[CallKey, Answer]]:
        """Every call with its answer, in the order of the answers."""
        for *columns, text in self._read(f"SELECT {_CALL}, answer FROM calls ORDER BY rowid"):
            yield CallKey(*columns), _ANSWER.validate_python(json.loads(text))

    def calls(self, candidate_id: str) -> Sequence[Call]:
        """The calls for one candidate, in the order of the answers."""
        rows = self._read("SELECT answer FROM calls WHERE candidate_id = ? ORDER BY rowid", candidate_id)
        return [_ANSWER.validate_python(json.loads(text)).call for (text,) in rows]

    def num_calls(self, candidate_id: str, role: str, version: int) -> int:
        """The number of calls of a role for one version of a candidate; ``role`` may be a prefix of its name."""
        where = "candidate_id = ? AND version = ? AND role LIKE ? || '%'"
        return int(self._read(f"SELECT count(*) FROM calls WHERE {where}", candidate_id, version, role)[0][0])

    def status(self) -> str:
        """The last argument of :meth:`set_status`, at first empty."""
        return self._meta("status")

    def set_status(self, status: str) -> None:
        """Store the status of the run, one word."""
        self._write("INSERT OR REPLACE INTO meta VALUES ('status', ?)", status)

    def pack_digest(self) -> str:
        """The digest of the pack the records were made with, empty if none is stored."""
        return self._meta("pack digest")

    def pack_files(self) -> Mapping[str, str]:
        """The digest of each file of that pack, by name; empty if none is stored."""
        found: Mapping[str, str] = json.loads(self._meta("pack files") or "{}")
        return found

    def note_pack(self, digest: str, files: Mapping[str, str]) -> None:
        """Store the digest of the pack that is used from now on, and the digests of its files."""
        values = "('pack digest', ?), ('pack files', ?)"
        self._write(f"INSERT OR REPLACE INTO meta VALUES {values}", digest, json.dumps(files))

    def _meta(self, name: str) -> str:
        rows = self._read("SELECT value FROM meta WHERE name = ?", name)
        return rows[0][0] if rows else ""

    def _add(self, table: str, *values: object) -> None:
        self._write(f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(values))})", *values)


def _dump(value: object) -> str:
    # Escaped to ASCII: replies may contain lone surrogates, which SQLite refuses.
    return json.dumps(plain(value), separators=(",", ":"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the records of a run.

    Returns:
        0, also if the output is closed early; 2 if the folder is not a run.
    """
    try:
        return _print_records(arguments)
    except BrokenPipeError:
        # Buffered output would raise again when the interpreter closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _print_records(arguments: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m store.history_store", description="Prints the records of a run.")
    parser.add_argument("--version", action="version", version=f"FairNAD {__version__}")
    parser.add_argument("folder", type=Path, help="run folder, for example runs/digits-0")
    parser.add_argument("--jsonl", action="store_true", help="one JSON object per line instead of a table")
    try:
        options = parser.parse_args(arguments)
        records = read_history(options.folder).records
        for line in map(json_line, records) if options.jsonl else table(records):
            print(line)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()
    return 0


def read_history(folder: Path) -> History:
    """The history of the run in ``folder``, also while it is searched.

    Raises:
        UserError: the folder holds no run, or one of another version.
    """
    with contextlib.closing(SqliteHistory(folder / FILE_NAME, read_only=True)) as store:
        return History(store.records())


if __name__ == "__main__":
    sys.exit(main())
