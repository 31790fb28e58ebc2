"""Steps whose results are stored, so that each step runs once, also across restarts."""

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

REVIEW_IDEA = "review idea"
"""The step of a review decision about an idea."""

_TICKING = {Step.MUTATE, Step.EXECUTE, Step.DEBUG, Step.DOWNSCALE, Step.JUDGE}
"""Steps for which this module writes progress events; trainings and later steps write their own."""


def verdict_version(num_edits: int) -> int:
    """The version of step judge for the role's verdict; each source edited in review has its own."""
    return 2 * num_edits


def judgement_version(num_edits: int) -> int:
    """The version for the judgement, made after all earlier candidates of the wave were judged."""
    return 2 * num_edits + 1


class Steps:
    """The results of single steps, stored in the history by (candidate id, step, version)."""

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
        """The stored result of a step, or what ``make`` returns, stored before it is returned.

        While a run is being stopped, an unfinished step waits for its cancellation; the next start repeats it.
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
        raise AssertionError("this event is never set")

    async def find(
        self, candidate_id: str, step: Step | str, version: int, adapter: TypeAdapter[Value]
    ) -> Value | None:
        """The stored result of a step, ``None`` if the step has not run."""
        stored = await asyncio.to_thread(self._history.find_step, candidate_id, step, version)
        return None if stored is None else adapter.validate_python(stored["result"])

    async def last_source(self, candidate_id: str, version: int) -> str:
        """The newest source up to a version (retries may have no source); empty without any source."""
        for number in range(version, -1, -1):
            source = await self.find_source(candidate_id, number)
            if source is not None:
                return source
        return ""

    async def find_source(self, candidate_id: str, version: int) -> str | None:
        """The source of a version, ``None`` if the retry has no source."""
        for step in (Step.MUTATE, Step.DEBUG, Step.DOWNSCALE, Step.REVIEW):
            proposal = await self.find(candidate_id, step, version, PROPOSAL)
            if isinstance(proposal, Proposal):
                return proposal.source
        return None

    async def idle(self) -> None:
        """Wait until no step is running."""
        await self._idle.wait()

    async def judge_in_turn(
        self,
        candidate_id: str,
        earlier: Iterable[str],
        verdict: Verdict | Failure,
        fingerprint: str,
        num_edits: int = 0,
    ) -> Judgement:
        """The judgement of a candidate, from its verdict and all earlier judgements.

        Candidates of a wave are judged in slot order, so duplicates do not depend on timing or the number of training
        slots. Without ``earlier`` candidates, the first judged candidate claims the architecture.
        """
        for other in earlier:
            if not await asyncio.to_thread(self._is_judged, other):
                await self._judged[other].wait()

        async def decide() -> Judgement:
            claims = await asyncio.to_thread(self._claims)
            claimed_by = next((other for other, claim in claims.items() if claim == fingerprint), "")
            return _judgement(verdict, fingerprint, claimed_by if claimed_by != candidate_id else "")

        async with self._judging:  # of two equal candidates, one is judged first
            judgement = await self.once(candidate_id, Step.JUDGE, judgement_version(num_edits), JUDGEMENT, decide)
        self.let_others_be_judged(candidate_id)
        return judgement

    def let_others_be_judged(self, candidate_id: str) -> None:
        """Release the candidates that wait for this one, which is judged or discarded."""
        self._judged[candidate_id].set()

    def _is_judged(self, candidate_id: str) -> bool:
        return (
            self._history.find_step(candidate_id, Step.JUDGE, judgement_version(0)) is not None
            or self._history.find_record(candidate_id) is not None
        )

    def _claims(self) -> dict[str, str]:
        """The fingerprint of each accepted candidate, in the order of judging; an edit replaces it."""
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
