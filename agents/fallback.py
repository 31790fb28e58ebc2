"""Two players in one role: who is asked first, and when the other one takes over.

Which of them answers is fixed by their answers and by what the lab reports of a source: neither decides it, and
neither is asked twice. ``note`` of a proposal names the player it comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from fairnad.domain.budget import Budget, within
from fairnad.ports import (
    Check,
    Debugger,
    DebugRequest,
    Downscaler,
    DownscaleRequest,
    IdeaMutationRequest,
    IdeaMutator,
    JudgeRequest,
    MutationRequest,
    Mutator,
    Proposal,
    StructuralJudge,
    Verdict,
)
from fairnad.records.candidate import CheckReport, Failure, FailureKind, Step

Player = TypeVar("Player")


@dataclass(frozen=True, slots=True)
class Named(Generic[Player]):
    """A player with the name that notes give it."""

    name: str
    player: Player

    def signed(self, answer: Proposal | Failure, discarded: str = "") -> Proposal | Failure:
        """The answer; a proposal with the player's name in its note, and with what was discarded before it."""
        if isinstance(answer, Failure):
            return answer
        note = f"{self.name}: {answer.note}" if answer.note else self.name
        return replace(answer, note=note, discarded=discarded)

    def discarded(self, outcome: CheckReport | Failure, budgets: Sequence[Budget] = ()) -> str:
        """Why an answer of this player was not taken; empty where it proposed nothing."""
        if isinstance(outcome, Failure):
            is_empty = outcome.kind is FailureKind.NOT_APPLICABLE
            return "" if is_empty else f"{self.name}: {outcome.step}: {outcome.kind}: {outcome.message}"
        limits = {budget.name: f" (limit {budget.limit:,.10g})" for budget in budgets}
        costs = ", ".join(f"{cost:,.10g} {name}{limits.get(name, '')}" for name, cost in outcome.costs.items())
        return f"{self.name}: over a limit: {costs}"


class RelayMutator:
    """A :class:`fairnad.ports.Mutator`: the second player carries out what the first one cannot."""

    def __init__(self, first: Named[Mutator], second: Named[Mutator]) -> None:
        self._first, self._second = first, second

    async def mutate(self, request: MutationRequest) -> Proposal | Failure:
        """The first player's proposal, or else the second's answer."""
        tried = await self._first.player.mutate(request)
        if isinstance(tried, Proposal):
            return self._first.signed(tried)
        return self._second.signed(await self._second.player.mutate(request), self._first.discarded(tried))


class RelayIdeaMutator:
    """A :class:`fairnad.ports.IdeaMutator`: the second player goes on with a chain where the first one cannot."""

    def __init__(self, first: Named[IdeaMutator], second: Named[IdeaMutator]) -> None:
        self._first, self._second = first, second

    async def mutate_idea(self, request: IdeaMutationRequest) -> Proposal | Failure:
        """The first player's proposal, or else the second's answer."""
        tried = await self._first.player.mutate_idea(request)
        if isinstance(tried, Proposal):
            return self._first.signed(tried)
        return self._second.signed(await self._second.player.mutate_idea(request), self._first.discarded(tried))


class RelayDebugger:
    """A :class:`fairnad.ports.Debugger`: the first player's repair counts only where it is seen to run.

    So a repair that does not help spends neither of a candidate's debugs: both players have their turn in each.
    """

    def __init__(self, first: Named[Debugger], second: Named[Debugger], check: Check) -> None:
        self._first, self._second, self._check = first, second, check

    async def debug(self, request: DebugRequest) -> Proposal | Failure:
        """A repair of the first player that runs, or else the second's answer.

        Where the first player's repair brings another fault to light, the second goes on from there.
        """
        tried = await self._first.player.debug(request)
        outcome = tried if isinstance(tried, Failure) else await self._check(tried.source)
        if isinstance(tried, Proposal):
            if isinstance(outcome, CheckReport):
                return self._first.signed(tried)
            if (outcome.kind, outcome.message) != (request.failure.kind, request.failure.message):
                request = replace(request, failed=tried.source, failure=outcome)
        return self._second.signed(await self._second.player.debug(request), self._first.discarded(outcome))


class SparingDebugger:
    """A :class:`fairnad.ports.Debugger` that is not asked where a fresh draw was chosen to be better than a repair."""

    def __init__(self, player: Debugger) -> None:
        self._player = player

    async def debug(self, request: DebugRequest) -> Proposal | Failure:
        """The player's answer; a failure, without a call, for the kinds in the errand's ``choices.resample``."""
        kind = request.failure.kind
        if kind in request.errand.choices.resample:
            return Failure(Step.DEBUG, kind, "a fresh draw is expected to bring more than a repair")
        return await self._player.debug(request)


class RelayDownscaler:
    """A :class:`fairnad.ports.Downscaler`: the first player has one try, which counts only within all limits."""

    def __init__(
        self, first: Named[Downscaler], second: Named[Downscaler], check: Check, budgets: Sequence[Budget]
    ) -> None:
        self._first, self._second, self._check, self._budgets = first, second, check, budgets

    async def downscale(self, request: DownscaleRequest) -> Proposal | Failure:
        """A source of the first player that runs within all limits, or else the second's answer.

        Where the second has none, the first player's source is better than nothing. Later reductions of the same
        candidate are the second player's alone.
        """
        if request.num_earlier:
            return self._second.signed(await self._second.player.downscale(request))
        tried = await self._first.player.downscale(request)
        outcome = tried if isinstance(tried, Failure) else await self._check(tried.source)
        if isinstance(outcome, CheckReport) and within(outcome.costs, self._budgets):
            return self._first.signed(tried)
        answer = await self._second.player.downscale(request)
        if isinstance(answer, Failure) and isinstance(tried, Proposal):
            return self._first.signed(tried, self._second.discarded(answer))
        return self._second.signed(answer, self._first.discarded(outcome, self._budgets))


class RelayJudge:
    """A :class:`fairnad.ports.StructuralJudge`: the second player judges where the first one gives no verdict."""

    def __init__(self, first: StructuralJudge, second: StructuralJudge) -> None:
        self._first, self._second = first, second

    async def judge(self, request: JudgeRequest) -> Verdict | Failure:
        """The first player's verdict, or else the second's answer."""
        verdict = await self._first.judge(request)
        return verdict if isinstance(verdict, Verdict) else await self._second.judge(request)


class JointJudge:
    """A :class:`fairnad.ports.StructuralJudge` of two: a network passes where both let it pass."""

    def __init__(self, first: Named[StructuralJudge], second: Named[StructuralJudge]) -> None:
        self._first, self._second = first, second

    async def judge(self, request: JudgeRequest) -> Verdict | Failure:
        """What both say of it; the second is not asked where the first refuses it already.

        Where one gives no verdict, the other's holds; ``reason`` says who said what.
        """
        first = await self._first.player.judge(request)
        if isinstance(first, Verdict) and not (first.changed and first.multi_layer):
            return replace(first, reason=f"{self._first.name}: {first.reason}")
        second = await self._second.player.judge(request)
        if isinstance(first, Failure) and isinstance(second, Failure):
            return second
        reason = f"{_said(self._first.name, first)}; {_said(self._second.name, second)}"
        verdicts = [one for one in (first, second) if isinstance(one, Verdict)]
        changed, multi_layer = all(v.changed for v in verdicts), all(v.multi_layer for v in verdicts)
        return Verdict(changed, multi_layer, reason)


def _said(name: str, answer: Verdict | Failure) -> str:
    if isinstance(answer, Failure):
        return f"{name} gave no verdict ({answer.message})"
    passes = answer.changed and answer.multi_layer
    return f"{name} {'lets it pass' if passes else 'refuses it'}: {answer.reason}"
