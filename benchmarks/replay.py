"""Whether a search that is replayed from its recorded calls, without an endpoint, has the same history.

    python -m benchmarks.replay --archs 100

Searches the small task of :mod:`benchmarks.fault_mix` with its model that is often wrong, stops the model's server,
and searches again in a new run with ``--llm.replay``. Compared are all records but for times, and the lines of both
logs of calls. Exit status 1 where anything differs; the differences are printed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fault_mix import MODES, read_history, run_search, settings_of
from benchmarks.machine import machine_line
from benchmarks.scripted_model import ScriptedModel
from fairnad.records.history import History
from store.call_file import CALLS_NAME
from tests.e2e.sameness import same
from tests.openai_server import ScriptedServer

_MOST_TOLD = 10
_MOST_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """The histories and call logs of the recorded and the replayed run; ``seconds`` is the duration of each."""

    recorded: History
    replayed: History
    recorded_calls: Sequence[str]
    replayed_calls: Sequence[str]
    seconds: tuple[float, float]

    @property
    def num_same(self) -> int:
        """Number of candidates, including the base, with equal records in both."""
        replayed = {record["candidate_id"]: record for record in same(self.replayed)}
        return sum(record == replayed.get(record["candidate_id"]) for record in same(self.recorded))

    @property
    def is_identical(self) -> bool:
        """Whether both runs have the same records and calls."""
        return same(self.recorded) == same(self.replayed) and self.recorded_calls == self.replayed_calls


def replay(archs: int, folder: Path, *, mode: str = "hybrid-auto", schedule: str = "generational") -> Outcome:
    """Search in the empty ``folder``, then replay the calls."""
    settings = {**settings_of(mode, 0, archs, folder), "search.schedule": schedule}
    start = time.monotonic()
    with ScriptedServer(ScriptedModel(0)) as server:
        run_search({**settings, "llm.model": "scripted", "llm.base_url": server.url})
    middle = time.monotonic()
    run_search({**settings, "run": "again", "llm.replay": "test"})
    return Outcome(
        read_history(folder),
        read_history(folder, "again"),
        _calls(folder / "runs" / "test" / CALLS_NAME),
        _calls(folder / "runs" / "again" / CALLS_NAME),
        (middle - start, time.monotonic() - middle),
    )


def _calls(path: Path) -> list[str]:
    """The lines of a log in an order that does not depend on the order of the answers."""
    return sorted(path.read_text(encoding="utf-8").splitlines())


def report(outcome: Outcome) -> Iterator[str]:
    """The outcome in lines, the verdict last."""
    recorded, num_all = outcome.recorded, len(outcome.recorded.records)
    searched, replayed = outcome.seconds
    yield f"searched for {searched:.0f} s, replayed in {replayed:.0f} s without an endpoint"
    yield from itertools.islice(_differences(outcome), _MOST_TOLD)
    verdict = "identical" if outcome.is_identical else "not identical"
    yield (
        f"{verdict}: {outcome.num_same} of {num_all} candidates, {len(recorded.trained)} of them trained, "
        f"{len(outcome.recorded_calls)} calls"
    )


def _differences(outcome: Outcome) -> Iterator[str]:
    replayed = {record["candidate_id"]: record for record in same(outcome.replayed)}
    for record in same(outcome.recorded):
        name, other = record["candidate_id"], replayed.pop(record["candidate_id"], None)
        if other is None:
            yield f"{name} is not in the replay"
            continue
        for part in record:
            if record[part] != other[part]:
                then, now = (json.dumps(one)[:_MOST_CHARACTERS] for one in (record[part], other[part]))
                yield f"{name} differs in {part}: {then} then, {now} now"
    yield from (f"{name} is in the replay alone" for name in replayed)
    num_lost = len(set(outcome.recorded_calls) - set(outcome.replayed_calls))
    if num_lost or len(outcome.recorded_calls) != len(outcome.replayed_calls):
        yield f"{num_lost} recorded calls are not in the replay, which has {len(outcome.replayed_calls)}"


def main() -> int:
    """Search, replay and compare; return 0 if both are equal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archs", type=int, default=100, help="candidates to train (default: 100)")
    parser.add_argument(
        "--mode", choices=MODES, default="hybrid-auto", help="players of the roles (default: hybrid-auto)"
    )
    parser.add_argument("--schedule", choices=("generational", "steady"), default="generational", help="of the search")
    options = parser.parse_args()
    print(f"{machine_line('torch', 'langgraph')}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        outcome = replay(options.archs, Path(folder), mode=options.mode, schedule=options.schedule)
    for line in report(outcome):
        print(line)
    return 0 if outcome.is_identical else 1


if __name__ == "__main__":
    sys.exit(main())
