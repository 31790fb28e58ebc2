"""A long search with all kinds of faults: checks that its history is complete and its memory constant.

    python -m benchmarks.soak --archs 140

Searches the tests' tiny task in a process of its own, with a scripted language model over HTTP of which three replies
in ten are wrong in one of the ways of ``tests/e2e/faults.py``. The search's memory is read each time it has recorded a
candidate, and printed as the median of each fifth of the records; *warm* is the second, *end* the last.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.machine import machine_line
from fairnad.records.history import History
from store.history_store import FILE_NAME, SqliteHistory
from tests.e2e.conftest import search_flags
from tests.e2e.faults import FaultyModel
from tests.e2e.tiny_pack import write_pack
from tests.openai_server import ScriptedServer


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome; ``memory`` is the resident set in bytes per record, ``num_left`` counts leftover processes."""

    status: int
    history: History
    memory: tuple[int, ...]
    num_left: int
    seconds: float

    @property
    def fifths(self) -> list[float]:
        """The median of each fifth of ``memory``."""
        return [float(np.median(fifth)) for fifth in np.array_split(self.memory, 5)]

    @property
    def growth(self) -> float:
        """Growth in bytes from the second fifth, after warm-up, to the last."""
        return self.fifths[-1] - self.fifths[1]


def soak(archs: int, folder: Path) -> Outcome:
    """Search in the empty ``folder`` until ``archs`` candidates have trained."""
    start = time.monotonic()
    pack = write_pack(folder / "tiny")
    with ScriptedServer(FaultyModel()) as server:
        settings = {
            "pack": pack,
            "runs": folder / "runs",
            "archs": archs,
            "search.initial": 8,
            "llm.model": "scripted",
            "llm.base_url": server.url,
            "lab.check_seconds": 5,
            "lab.train_seconds": 2,
            "lab.memory": "2G",
        }
        command = [sys.executable, "-m", "graphs.search", *search_flags(settings), "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as search:
            assert search.stdout is not None
            events = map(json.loads, search.stdout)
            memory = [_resident_bytes(search.pid) for event in events if event["event"] == "record"]
        num_left = sum(1 for _ in _processes_in(folder))
    with closing(SqliteHistory(folder / "runs" / "test" / FILE_NAME, read_only=True)) as store:
        history = History(store.records())
    return Outcome(search.returncode, history, tuple(memory), num_left, time.monotonic() - start)


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _processes_in(folder: Path) -> Iterator[int]:
    """Processes that work in ``folder``, as every job does."""
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if path.readlink().is_relative_to(folder.resolve()):
                yield int(path.parent.name)
        except OSError:
            continue  # gone by now, or another user's


def report(outcome: Outcome) -> Iterator[str]:
    """The outcome in lines."""
    history = outcome.history
    failures = Counter(str(record.failure.kind) for record in history.drawn if record.failure is not None)
    ids = {record.candidate_id for record in history.records}
    yield f"exit status {outcome.status} after {outcome.seconds / 60:.1f} minutes; {outcome.num_left} processes left"
    yield (
        f"{len(history.drawn)} candidates drawn: {len(history.trained)} trained, {failures.total()} failed; "
        f"{len(ids)} ids for {len(history.records)} records"
    )
    yield "failed: " + ", ".join(f"{kind} {number}" for kind, number in failures.most_common())
    fifths = ", ".join(f"{fifth / 1e6:.1f}" for fifth in outcome.fifths)
    yield f"memory of the search by fifths of its records: {fifths} MB; warm to end {outcome.growth / 1e6:+.1f} MB"


def main() -> None:
    """Search, and print what is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archs", type=int, default=140, help="candidates to train (default: 140, of some 200 drawn)")
    archs = parser.parse_args().archs
    print(f"{machine_line('torch', 'langgraph')}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for line in report(soak(archs, Path(folder))):
            print(line)


if __name__ == "__main__":
    main()
