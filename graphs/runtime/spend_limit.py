"""The limits of a search on money, tokens and hours: reserve, then spend."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from fairnad.errors import LimitError, SettingsError, StoppingError
from fairnad.ports import CallKey
from fairnad.records.prices import NOTHING, Usage, unpriced
from fairnad.settings.search_settings import LimitSettings, RunContext

if TYPE_CHECKING:
    from store.ledger_store import SqliteLedger

_SECONDS_BETWEEN_NOTES = 5.0
"""Seconds between writes of the working time: a killed run loses at most this much."""


class SpendLimit:
    """A :class:`fairnad.ports.Ledger` that refuses every request that could exceed a limit.

    It reserves the maximum cost of each request before it is sent. If only open reservations leave no room, the request
    waits until they are settled. If the spending itself leaves no room, the limit is reached.
    """

    def __init__(
        self, ledger: SqliteLedger, limit: LimitSettings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Continue from earlier spending; nothing is written yet.

        Args:
            clock: returns seconds, for the limit on hours.
        """
        self._ledger = ledger
        self._limit = limit
        self._clock = clock
        self._spent = NOTHING
        self._worked_before = 0.0
        self._began = clock()
        self._numbers = itertools.count(1)
        self._in_flight: dict[int, Usage] = {}
        self._change = asyncio.Event()
        self._reason = ""
        self._reached: asyncio.Future[str] | None = None
        self._stopping = False
        self._start = 0
        self._keeping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start counting; open reservations of an earlier process count as spent.

        Raises:
            LimitError: a limit is reached already.
        """
        await asyncio.to_thread(self._ledger.settle_lost)
        self._spent = await asyncio.to_thread(self._ledger.spent)
        self._worked_before = await asyncio.to_thread(self._ledger.worked_seconds)
        self._numbers = itertools.count(await asyncio.to_thread(self._ledger.next_number))
        self._began = self._clock()
        reason = self._passed()
        if reason:
            raise LimitError(f"nothing was started: {reason}")
        self._start = await asyncio.to_thread(self._ledger.begin_work)
        self._keeping = asyncio.create_task(self._keep_time())

    def watch(self) -> asyncio.Future[str]:
        """A future for a line that names the reached limit and how to continue; the caller then stops the run.

        If this is never called, a request over the limit raises :class:`~fairnad.errors.LimitError` instead.
        """
        if self._reached is None:
            self._reached = asyncio.get_running_loop().create_future()
            if self._reason:
                self._reached.set_result(self._reason)
        return self._reached

    @property
    def spent(self) -> Usage:
        """The spending of all starts, without reservations."""
        return self._spent

    async def reserve(self, key: CallKey, model: str, most: Usage) -> int:
        """See :class:`fairnad.ports.Ledger`."""
        await self._make_room(most)
        number = next(self._numbers)
        self._in_flight[number] = most
        is_written = False
        try:
            await asyncio.to_thread(self._ledger.reserve, number, key, model, most)
            is_written = True
        finally:
            if not is_written:
                self._release(number)
        return number

    async def settle(self, number: int, spent: Usage, note: str = "") -> None:
        """See :class:`fairnad.ports.Ledger`."""
        await asyncio.to_thread(self._ledger.settle, number, spent, note)
        self._spent += spent
        self._release(number)

    def stop(self) -> None:
        """Allow no further request."""
        self._stopping = True
        self._wake()

    async def close(self) -> None:
        """Store the working time of the run."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
            self._keeping = None
            await self._note_work()

    async def _make_room(self, most: Usage) -> None:
        while True:
            self._refuse_when_over()
            in_flight = sum(self._in_flight.values(), NOTHING)
            if not self._over(self._spent + in_flight + most):
                return
            if self._over(self._spent + most) or not self._in_flight:
                self._reach(self._describe(self._over(self._spent + most), most))
                continue
            await self._change.wait()

    def _refuse_when_over(self) -> None:
        if self._stopping or (self._reason and self._reached is not None):
            raise StoppingError("the call did not start because the run is being stopped")
        if self._reason:
            raise LimitError(self._reason)

    def _over(self, usage: Usage) -> str:
        """The limit that this usage would exceed, empty if none."""
        if self._limit.usd is not None and usage.usd > self._limit.usd:
            return "usd"
        if self._limit.tokens is not None and usage.tokens > self._limit.tokens:
            return "tokens"
        return ""

    def _passed(self) -> str:
        """Why no request may start; empty if one may."""
        usd, tokens = self._limit.usd, self._limit.tokens
        if usd is not None and self._spent.usd >= usd:
            return self._describe("usd", NOTHING)
        if tokens is not None and self._spent.tokens >= tokens:
            return self._describe("tokens", NOTHING)
        return self._describe("hours", NOTHING) if self._seconds_left() <= 0 else ""

    def _describe(self, name: str, most: Usage) -> str:
        """One line with the limit, the spending, the maximum of the next call, and how to continue."""
        if name == "usd":
            limit, spent = self._limit.usd or 0.0, f"{self._spent.usd:.4f} of {self._limit.usd:g} USD are spent"
            needed = f", and the next call may cost {most.usd:.4f}" if most.usd else ""
        elif name == "tokens":
            limit = self._limit.tokens or 0.0
            spent = f"{self._spent.tokens:,} of {limit:,.0f} tokens are spent"
            needed = f", and the next call may take {most.tokens:,}" if most.tokens else ""
        else:
            limit, needed = self._limit.hours or 0.0, ""
            spent = f"{self._worked() / 3600:.4g} of {limit:g} hours are used"
        advice = f"continue with the same command and --limit.{name} {2 * limit:.10g}"
        return f"the limit --limit.{name} is reached: {spent}{needed}; {advice}"

    def _reach(self, reason: str) -> None:
        self._reason = self._reason or reason
        if self._reached is not None and not self._reached.done():
            self._reached.set_result(self._reason)
        self._wake()

    def _release(self, number: int) -> None:
        del self._in_flight[number]
        self._wake()

    def _wake(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

    def _worked(self) -> float:
        return self._worked_before + self._clock() - self._began

    def _seconds_left(self) -> float:
        return float("inf") if self._limit.hours is None else self._limit.hours * 3600 - self._worked()

    async def _keep_time(self) -> None:
        while True:
            await self._note_work()
            if self._seconds_left() <= 0:
                self._reach(self._describe("hours", NOTHING))
            left = self._seconds_left()
            await asyncio.sleep(min(left, _SECONDS_BETWEEN_NOTES) if left > 0 else _SECONDS_BETWEEN_NOTES)

    async def _note_work(self) -> None:
        await asyncio.to_thread(self._ledger.note_work, self._start, self._clock() - self._began)


def check_prices(context: RunContext) -> None:
    """Check that every model has a price if money is limited.

    Raises:
        SettingsError: money is limited, but a model has no price.
    """
    if context.limit.usd is None or context.llm.replay:
        return
    missing = unpriced(context.llm)
    if missing:
        raise SettingsError(
            f"--limit.usd {context.limit.usd:g} needs the price of every model, but none is known for "
            f"{', '.join(missing)}: set --llm.price-input and --llm.price-output in USD per million tokens"
        )
