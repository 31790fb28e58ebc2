from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from fairnad.errors import LimitError, SettingsError, StoppingError
from fairnad.ports import CallKey
from fairnad.records.prices import Usage
from fairnad.settings.search_settings import LimitSettings, RunContext
from graphs.runtime.spend_limit import SpendLimit, check_prices
from store.ledger_store import SqliteLedger

KEY = CallKey("g01-fair-r1-s00-d0", "mutator", 0, 0, "abc")
MOST = Usage(60, 40, 0.1)
Open = Callable[..., Awaitable[SpendLimit]]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest_asyncio.fixture
async def open_limit(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens limits on one ledger, each as a start of its own."""
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    limits: list[SpendLimit] = []

    async def make(clock: Callable[[], float] = lambda: 0.0, **limit: float) -> SpendLimit:
        limits.append(SpendLimit(ledger, LimitSettings.model_validate(limit), clock=clock))
        await limits[-1].open()
        return limits[-1]

    yield make
    for spend_limit in limits:
        await spend_limit.close()
    ledger.close()


async def test_what_could_pass_the_limit_is_not_begun_and_the_reason_says_how_to_go_on(open_limit: Open) -> None:
    spend_limit = await open_limit(usd=0.25)
    reached = spend_limit.watch()
    for _ in range(2):
        await spend_limit.settle(await spend_limit.reserve(KEY, "m", MOST), MOST)
    with pytest.raises(StoppingError):
        await spend_limit.reserve(KEY, "m", MOST)
    assert reached.result() == (
        "the limit --limit.usd is reached: 0.2000 of 0.25 USD are spent, and the next call may cost 0.1000; "
        "continue with the same command and --limit.usd 0.5"
    )
    await spend_limit.close()
    higher = await open_limit(usd=0.5)
    await higher.settle(await higher.reserve(KEY, "m", MOST), MOST)
    assert higher.spent.tokens == 300


async def test_a_call_waits_for_reservations_that_may_leave_room_for_it(open_limit: Open) -> None:
    spend_limit = await open_limit(tokens=150)
    first = await spend_limit.reserve(KEY, "m", MOST)
    second = asyncio.ensure_future(spend_limit.reserve(KEY, "m", MOST))
    await asyncio.sleep(0)
    assert not second.done()
    await spend_limit.settle(first, Usage(5, 5, 0.0))
    await spend_limit.settle(await second, MOST)
    assert spend_limit.spent.tokens == 110


async def test_who_waits_is_let_go_when_the_run_is_stopped(open_limit: Open) -> None:
    spend_limit = await open_limit(tokens=150)
    await spend_limit.reserve(KEY, "m", MOST)
    waiting = asyncio.ensure_future(spend_limit.reserve(KEY, "m", MOST))
    await asyncio.sleep(0)
    spend_limit.stop()
    with pytest.raises(StoppingError):
        await waiting


async def test_where_nobody_watches_the_call_itself_says_that_the_limit_is_reached(open_limit: Open) -> None:
    spend_limit = await open_limit(tokens=50)
    with pytest.raises(
        LimitError,
        match=r"0 of 50 tokens are spent, and the next call may take 100; continue with .* --limit.tokens 100",
    ):
        await spend_limit.reserve(KEY, "m", MOST)


async def test_a_limit_that_is_passed_already_is_said_before_anything_begins(open_limit: Open) -> None:
    spend_limit = await open_limit()
    await spend_limit.settle(await spend_limit.reserve(KEY, "m", MOST), MOST)
    with pytest.raises(
        LimitError, match=r"^nothing was started: the limit --limit.tokens is reached: 100 of 100 tokens"
    ):
        await open_limit(tokens=100)


async def test_what_was_reserved_and_never_settled_counts_at_the_next_start(open_limit: Open) -> None:
    await (await open_limit()).reserve(KEY, "m", MOST)
    assert (await open_limit()).spent == MOST


async def test_the_hours_of_all_starts_add_up(open_limit: Open) -> None:
    clock = Clock()
    first = await open_limit(clock, hours=3)
    clock.now = 7200.0
    await first.close()
    clock.now = 0.0
    second = await open_limit(clock, hours=3)
    clock.now = 3600.0
    await second.close()
    with pytest.raises(LimitError, match=r"3 of 3 hours are used; continue with the same command and --limit.hours 6"):
        await open_limit(hours=3)


async def test_hours_that_pass_while_it_works_stop_it(open_limit: Open) -> None:
    spend_limit = await open_limit(lambda: asyncio.get_running_loop().time(), hours=1e-5)
    assert "continue with the same command and --limit.hours 2e-05" in await asyncio.wait_for(spend_limit.watch(), 60)


def test_a_limit_on_money_needs_prices() -> None:
    context = RunContext.model_validate({"limit": {"usd": 2}, "llm": {"model": "m"}})
    with pytest.raises(SettingsError, match=r"--limit.usd 2 needs the price of every model, but none is known for m"):
        check_prices(context)
    check_prices(RunContext.model_validate({"limit": {"usd": 2}, "llm": {"model": "m", "price_output": 1}}))
    check_prices(RunContext.model_validate({"limit": {"usd": 2}}))
