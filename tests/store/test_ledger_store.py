from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fairnad.errors import RunFolderError
from fairnad.ports import CallKey
from fairnad.records.prices import NOTHING, Usage
from store.history_store import SqliteHistory
from store.ledger_store import LOST, SqliteLedger

KEY = CallKey("g01-fair-r1-s00-d0", "mutator", 0, 0, "abc")


def test_a_request_counts_at_its_worst_until_it_is_settled(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    assert (ledger.spent(), ledger.next_number()) == (NOTHING, 1)
    ledger.reserve(1, KEY, "m", Usage(100, 64, 0.5))
    assert (ledger.spent(), ledger.next_number()) == (Usage(100, 64, 0.5), 2)
    ledger.settle(1, Usage(90, 10, 0.25), "a note")
    assert ledger.spent() == Usage(90, 10, 0.25)
    (request,) = ledger.requests()
    assert (request.key, request.model, request.is_settled, request.note) == (KEY, "m", True, "a note")
    ledger.close()


def test_what_a_killed_process_reserved_is_spent(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    code = f"""
import os, pathlib, signal
from fairnad.ports import CallKey
from fairnad.records.prices import Usage
from store.ledger_store import SqliteLedger
ledger = SqliteLedger(pathlib.Path({str(path)!r}))
ledger.reserve(1, CallKey("c", "mutator", 0, 0, "abc"), "m", Usage(100, 64, 0.5))
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": "."}, check=False)
    assert killed.returncode == -signal.SIGKILL
    ledger = SqliteLedger(path)
    ledger.settle_lost()
    assert ledger.spent() == Usage(100, 64, 0.5)
    assert [(request.is_settled, request.note) for request in ledger.requests()] == [(True, LOST)]
    ledger.close()


def test_the_work_of_all_starts_adds_up(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    first = ledger.begin_work()
    ledger.note_work(first, 5.0)
    ledger.note_work(first, 7.0)
    ledger.note_work(ledger.begin_work(), 2.0)
    assert ledger.worked_seconds() == 9.0
    ledger.close()


def test_another_database_is_no_ledger(tmp_path: Path) -> None:
    SqliteHistory(tmp_path / "history.sqlite").close()
    with pytest.raises(RunFolderError, match="expected the ledger of a run, found another database"):
        SqliteLedger(tmp_path / "history.sqlite")
