"""Fallbacks: two players share a role, and the second answers if the first fails.

The choice depends only on their answers and the lab's reports. Each is asked once. A proposal's
``note`` names the player it comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from fairnad.domain.budget import Budget, within
from fairnad.ports import (
    Check,
    Debugger,
    DebugRequest,
    Downscaler,
    DownscaleRequest,
    JudgeRequest,
    Proposal,
    StructuralJudge,
    Verdict,
)
from fairnad.records.candidate import CheckReport, Failure, FailureKind

Role = TypeVar("Role")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Player(Generic[Role]):
    """A player of a role, with its name in notes."""

    name: str
    role: Role

    def sign(self, answer: Answer, discarded: str = "") -> Answer | Proposal:
        """The answer; a proposal gets the player's name in its note, and what was discarded before it."""
        if not isinstance(answer, Proposal):
            return answer
        note = f"{self.name}: {answer.note}" if answer.note else self.name
        return replace(answer, note=note, discarded=discarded)

    def explain_rejection(self, outcome: CheckReport | Failure, budgets: Sequence[Budget] = ()) -> str:
        """Why this player's answer was not used; empty if the player gave none."""
        if isinstance(outcome, Failure):
            is_empty = outcome.kind is FailureKind.NOT_APPLICABLE
            return "" if is_empty else f"{self.name}: {outcome.step}: {outcome.kind}: {outcome.message}"
        limits = {budget.name: f" (limit {budget.limit:,.10g})" for budget in budgets}
        costs = ", ".join(f"{cost:,.10g} {name}{limits.get(name, '')}" for name, cost in outcome.costs.items())
        return f"{self.name}: over a limit: {costs}"


class Fallback:
    """The second player answers where the first one fails. For any role with one method.

    Args:
        method: the method of the role's protocol, which this object then has.
    """

    def __init__(self, first: Player[Any], second: Player[Any], method: str) -> None:
        self._first, self._second, self._method = first, second, method
        setattr(self, method, self._answer)

    async def _answer(self, request: Any) -> Any:
        tried = await getattr(self._first.role, self._method)(request)
        if not isinstance(tried, Failure):
            return self._first.sign(tried)
        answer = await getattr(self._second.role, self._method)(request)
        return self._second.sign(answer, self._first.explain_rejection(tried))


class FallbackDebugger:
    """A :class:`fairnad.ports.Debugger`: the first player's repair counts only if it runs.

    Both players try within one debug, so a repair that does not help costs no extra debug.
    """

    def __init__(self, first: Player[Debugger], second: Player[Debugger], check: Check) -> None:
        self._first, self._second, self._check = first, second, check

    async def debug(self, request: DebugRequest) -> Proposal | Failure:
        """A repair of the first player that runs, or else the second player's answer.

        If the first repair reveals another fault, the second player continues from there.
        """
        tried = await self._first.role.debug(request)
        outcome = tried if isinstance(tried, Failure) else await self._check(tried.source)
        if isinstance(tried, Proposal):
            if isinstance(outcome, CheckReport):
                return self._first.sign(tried)
            if (outcome.kind, outcome.message) != (request.failure.kind, request.failure.message):
                request = replace(request, failed=tried.source, failure=outcome)
        return self._second.sign(await self._second.role.debug(request), self._first.explain_rejection(outcome))


class FallbackDownscaler:
    """A :class:`fairnad.ports.Downscaler`: the first player has one try, which counts only within all limits."""

    def __init__(
        self, first: Player[Downscaler], second: Player[Downscaler], check: Check, budgets: Sequence[Budget]
    ) -> None:
        self._first, self._second, self._check, self._budgets = first, second, check, budgets

    async def downscale(self, request: DownscaleRequest) -> Proposal | Failure:
        """A source of the first player that runs within all limits, or else the second player's answer.

        If the second player fails, the first one's source is used. Later reductions of the same candidate go to the
        second player only.
        """
        if request.num_earlier:
            return self._second.sign(await self._second.role.downscale(request))
        tried = await self._first.role.downscale(request)
        outcome = tried if isinstance(tried, Failure) else await self._check(tried.source)
        if isinstance(outcome, CheckReport) and within(outcome.costs, self._budgets):
            return self._first.sign(tried)
        answer = await self._second.role.downscale(request)
        if isinstance(answer, Failure) and isinstance(tried, Proposal):
            return self._first.sign(tried, self._second.explain_rejection(answer))
        return self._second.sign(answer, self._first.explain_rejection(outcome, self._budgets))


class JointJudge:
    """A :class:`fairnad.ports.StructuralJudge` of two players: a network passes if both accept it."""

    def __init__(self, first: Player[StructuralJudge], second: Player[StructuralJudge]) -> None:
        self._first, self._second = first, second

    async def judge(self, request: JudgeRequest) -> Verdict | Failure:
        """The joint verdict; ``reason`` quotes both players.

        The second player is not asked if the first one refuses. If one gives no verdict, the other's counts.
        """
        first = await self._first.role.judge(request)
        if isinstance(first, Verdict) and not (first.changed and first.multi_layer):
            return replace(first, reason=f"{self._first.name}: {first.reason}")
        second = await self._second.role.judge(request)
        if isinstance(first, Failure) and isinstance(second, Failure):
            return second
        reason = f"{_describe(self._first.name, first)}; {_describe(self._second.name, second)}"
        verdicts = [one for one in (first, second) if isinstance(one, Verdict)]
        return Verdict(all(one.changed for one in verdicts), all(one.multi_layer for one in verdicts), reason)


def _describe(name: str, answer: Verdict | Failure) -> str:
    if isinstance(answer, Failure):
        return f"{name} gave no verdict ({answer.message})"
    passes = answer.changed and answer.multi_layer
    return f"{name} {'accepts it' if passes else 'refuses it'}: {answer.reason}"
