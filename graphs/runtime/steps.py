"""Steps that happen once: a step whose result is stored is never taken again, in this process or the next."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from pydantic import TypeAdapter

from fairnad.errors import StoppingError
from fairnad.ports import HistoryStore, Judgement, Proposal, Verdict
from fairnad.records.candidate import CheckReport, Evaluation, Failure, FailureKind, Step
from graphs.runtime.progress_events import TICK_SECONDS, ticking

Value = TypeVar("Value")

PROPOSAL: TypeAdapter[Proposal | Failure] = TypeAdapter(Proposal | Failure)
REPORT: TypeAdapter[CheckReport | Failure] = TypeAdapter(CheckReport | Failure)
EVALUATION: TypeAdapter[Evaluation | Failure] = TypeAdapter(Evaluation | Failure)
VERDICT: TypeAdapter[Verdict | Failure] = TypeAdapter(Verdict | Failure)
FAILURE: TypeAdapter[Failure] = TypeAdapter(Failure)
JUDGEMENT: TypeAdapter[Judgement] = TypeAdapter(Judgement)


_TICKING = {Step.MUTATE, Step.EXECUTE, Step.DEBUG, Step.DOWNSCALE, Step.JUDGE}
"""Steps that write progress events here if they take long; trainings and later steps write their own."""


def verdict_version(num_edits: int) -> int:
    """The version step judge is stored under with what the role says; each source a person wrote is judged anew."""
    return 2 * num_edits


def judgement_version(num_edits: int) -> int:
    """The version for what follows from it, once all earlier candidates of the wave have been judged."""
    return 2 * num_edits + 1


class Steps:
    """The results of single steps, kept in the history under (candidate id, step, version)."""

    def __init__(self, history: HistoryStore) -> None:
        self._history = history
        self.num_active = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._judging = asyncio.Lock()
        self._judged: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def once(
        self,
        candidate_id: str,
        step: Step | str,
        version: int,
        adapter: TypeAdapter[Value],
        make: Callable[[], Awaitable[Value]],
    ) -> Value:
        """The stored result of a step, or what ``make`` returns, stored before anybody sees it.

        While a run is being stopped, a step that was not begun or was cut off waits for ever: whoever stops the run
        cancels it, and the next start takes the step again.
        """
        stored = await asyncio.to_thread(self._history.find_step, candidate_id, step, version)
        if stored is not None:
            return adapter.validate_python(stored["result"])
        self.num_active += 1
        self._idle.clear()
        try:
            if step in _TICKING:
                async with ticking(step, patience=TICK_SECONDS, candidate_id=candidate_id):
                    value = await make()
            else:
                value = await make()
            result = {"result": adapter.dump_python(value, mode="json")}
            await asyncio.to_thread(self._history.add_step, candidate_id, step, version, result)
            return value
        except StoppingError:
            pass
        finally:
            self.num_active -= 1
            if not self.num_active:
                self._idle.set()
        await asyncio.Event().wait()
        raise AssertionError("an event that nobody sets was set")

    async def find(
        self, candidate_id: str, step: Step | str, version: int, adapter: TypeAdapter[Value]
    ) -> Value | None:
        """The stored result of a step, ``None`` where it was not taken."""
        stored = await asyncio.to_thread(self._history.find_step, candidate_id, step, version)
        return None if stored is None else adapter.validate_python(stored["result"])

    async def last_source(self, candidate_id: str, version: int) -> str:
        """The newest source up to a version, since a retry may have brought none; empty where there never was one."""
        for number in range(version, -1, -1):
            source = await self.find_source(candidate_id, number)
            if source is not None:
                return source
        return ""

    async def find_source(self, candidate_id: str, version: int) -> str | None:
        """The source a candidate got at a version, ``None`` where a retry brought none."""
        for step in (Step.MUTATE, Step.DEBUG, Step.DOWNSCALE, Step.REVIEW):
            proposal = await self.find(candidate_id, step, version, PROPOSAL)
            if isinstance(proposal, Proposal):
                return proposal.source
        return None

    async def idle(self) -> None:
        """Return when no step is under way."""
        await self._idle.wait()

    async def judge_in_turn(
        self,
        candidate_id: str,
        earlier: Iterable[str],
        verdict: Verdict | Failure,
        fingerprint: str,
        num_edits: int = 0,
    ) -> Judgement:
        """What becomes of a candidate, given its verdict and everything that was judged before it.

        Candidates of a wave are judged in slot order, so that which of two equal ones is the duplicate depends on
        neither timing nor the number of slots. Where none is ``earlier``, who is judged first claims, and keeps it.
        """
        for other in earlier:
            if not await asyncio.to_thread(self._is_judged, other):
                await self._judged[other].wait()

        async def decide() -> Judgement:
            claims = await asyncio.to_thread(self._claims)
            claimed_by = next((other for other, claim in claims.items() if claim == fingerprint), "")
            return _judgement(verdict, fingerprint, claimed_by if claimed_by != candidate_id else "")

        async with self._judging:  # between two candidates that are equal, one is judged first
            judgement = await self.once(candidate_id, Step.JUDGE, judgement_version(num_edits), JUDGEMENT, decide)
        self.let_others_be_judged(candidate_id)
        return judgement

    def let_others_be_judged(self, candidate_id: str) -> None:
        """Let the candidates that wait for this one go on: it is judged, or out."""
        self._judged[candidate_id].set()

    def _is_judged(self, candidate_id: str) -> bool:
        return (
            self._history.find_step(candidate_id, Step.JUDGE, judgement_version(0)) is not None
            or self._history.find_record(candidate_id) is not None
        )

    def _claims(self) -> dict[str, str]:
        """The fingerprint each accepted candidate claims, in the order they were judged; an edit claims anew."""
        claims: dict[str, str] = {}
        num_edits = 0
        while stored := self._history.find_steps(Step.JUDGE, judgement_version(num_edits)):
            for candidate_id, step in stored:
                judgement = JUDGEMENT.validate_python(step["result"])
                if judgement.failure is None:
                    claims[candidate_id] = judgement.fingerprint
                else:
                    claims.pop(candidate_id, None)
            num_edits += 1
        return claims


def _judgement(verdict: Verdict | Failure, fingerprint: str, claimed_by: str) -> Judgement:
    if isinstance(verdict, Failure):
        return Judgement(fingerprint, verdict)
    if not verdict.changed:
        return Judgement(fingerprint, Failure(Step.JUDGE, FailureKind.UNCHANGED, verdict.reason))
    if not verdict.multi_layer:
        return Judgement(fingerprint, Failure(Step.JUDGE, FailureKind.SINGLE_LAYER, verdict.reason))
    if claimed_by:
        message = f"the same architecture as {claimed_by}"
        return Judgement(fingerprint, Failure(Step.JUDGE, FailureKind.DUPLICATE, message), claimed_by)
    return Judgement(fingerprint)
