"""Runs the corpus over one warm sandbox, two jobs at a time; as a program, for another user, it prints JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fairnad.domain.contract import Contract
from fairnad.records.candidate import FailureKind, Step
from fairnad.settings.search_settings import LabSettings
from tests.tools.sandbox.hostile.canaries import SECRET, canaries
from tests.tools.sandbox.hostile.corpus import HARM, Hostile, network
from tests.tools.sandbox.hostile.ends import ENDS
from tests.tools.sandbox.hostile.forgery import FORGERIES, TEXTS
from tests.tools.sandbox.hostile.legitimate import LEGITIMATE
from tests.tools.sandbox.hostile.reach import REACHES
from tools.sandbox.job import Job, JobKind, Limits
from tools.sandbox.supervisor import Sandbox

CORPUS: Sequence[Hostile] = (*ENDS, *REACHES, *FORGERIES, *TEXTS)
WALL_SECONDS = 2
_PATIENT_SECONDS = 30
_CONCURRENCY = 2


@dataclass(frozen=True)
class Verdict:
    """How one source ended; ``kind`` is empty where it passed."""

    name: str
    has_policy: bool
    kind: str
    said: str
    wall_seconds: float


@dataclass(frozen=True)
class Outcome:
    """How the whole corpus ended on one sandbox."""

    isolation: str
    verdicts: tuple[Verdict, ...]
    touched: tuple[str, ...]
    has_survived: bool
    num_left_over: int

    def verdict(self, name: str, *, has_policy: bool) -> Verdict:
        """That of one source."""
        (found,) = [v for v in self.verdicts if (v.name, v.has_policy) == (name, has_policy)]
        return found


async def run_corpus(level: str, scratch: Path, *, only_reaches: bool = False) -> Outcome:
    """Run everything: under the policy, and what the policy refuses once more without it; the honest ones too.

    Args:
        level: the isolation.
        scratch: a folder for the sandbox.
        only_reaches: run what reaches outside, without the policy, and one honest source.
    """
    with canaries() as around:
        sandbox = Sandbox(scratch, LabSettings(isolation=level))  # type: ignore[arg-type]
        await sandbox.start()
        before = descendants(os.getpid())
        try:
            busy = asyncio.Semaphore(_CONCURRENCY)
            cases = [(hostile, has_policy) for hostile in CORPUS for has_policy in _ways(hostile, only_reaches)]
            honest = [] if only_reaches else [Hostile(name, source, None) for name, source in LEGITIMATE.items()]
            jobs = [_run(sandbox, around.fill(h.source), h, p, busy) for h, p in [*cases, *((h, True) for h in honest)]]
            verdicts = await asyncio.gather(*jobs)
            survivor = await _run(sandbox, network(), Hostile("survivor", "", None), True, busy)
            left_over = descendants(os.getpid()) - before
            is_same = before <= descendants(os.getpid())
            return Outcome(
                str(sandbox.isolation),
                tuple(verdicts),
                tuple(around.touched()),
                is_same and not survivor.kind,
                len(left_over),
            )
        finally:
            await sandbox.close()


def _ways(hostile: Hostile, only_reaches: bool) -> list[bool]:
    if only_reaches:
        return [False] if hostile in REACHES else []
    return [True, False] if hostile.free else [True]


async def _run(sandbox: Sandbox, source: str, hostile: Hostile, has_policy: bool, busy: asyncio.Semaphore) -> Verdict:
    may_take_long = FailureKind.TIMEOUT in (hostile.held, *hostile.free)
    async with busy:
        verdict = await _once(sandbox, source, hostile, has_policy, WALL_SECONDS)
        if verdict.kind == FailureKind.TIMEOUT and not may_take_long:
            # Two seconds are little for an honest job where the machine has other work.
            verdict = await _once(sandbox, source, hostile, has_policy, _PATIENT_SECONDS)
    return verdict


async def _once(sandbox: Sandbox, source: str, hostile: Hostile, has_policy: bool, seconds: float) -> Verdict:
    # What a hostile source does is to be seen, and not refused for its arithmetic first.
    integrity = "off" if hostile.held or hostile.free else "reject"
    request = {"contract": Contract.for_images(8, 4).to_json(), "seed": 0, "integrity": integrity}
    limits = Limits(seconds, 4 * 10**8, 10**5)
    result = await sandbox.run(Job(JobKind.CHECK, Step.EXECUTE, source, request, limits, has_policy=has_policy))
    failure = result.failure
    said = f"{failure.message}\n{failure.log_tail}" if failure else ""
    return Verdict(hostile.name, has_policy, failure.kind if failure else "", said, result.wall_seconds)


def harms(outcome: Outcome) -> list[str]:
    """What the sources gained, by their own word."""
    return [
        v.name for v in outcome.verdicts if f"{HARM} " in v.said or SECRET in v.said.replace("'open sesame' in", "")
    ]


def descendants(pid: int) -> set[int]:
    """All processes below one, whatever their namespace."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return set()
    return {found for child in map(int, children) for found in (child, *descendants(child))}


def main() -> None:
    """Print the outcome for the level that is named, as whoever runs this."""
    with tempfile.TemporaryDirectory() as scratch:
        outcome = asyncio.run(run_corpus(sys.argv[1], Path(scratch), only_reaches=True))
    print(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main()
