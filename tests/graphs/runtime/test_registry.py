"""Benches: opened once, shared, and closed when nobody works at them any more."""

from __future__ import annotations

import asyncio

import pytest
from langgraph.graph import START, StateGraph

from fairnad.errors import RunFolderError, TaskError
from fairnad.settings.search_settings import RunContext
from graphs.runtime import assembly
from graphs.runtime import registry as services


class Bench:
    """Counts what happens to it."""

    def __init__(self) -> None:
        self.num_closed = 0

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.num_closed += 1


@pytest.fixture
def opened(monkeypatch):
    benches = []

    async def open_bench(context):
        await asyncio.sleep(0)
        if context.task == "wrong":
            raise TaskError("no data")
        benches.append(Bench())
        return benches[-1]

    monkeypatch.setattr(assembly, "open_bench", open_bench)
    monkeypatch.setattr(services, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(services, "_places", {})
    return benches


async def ask(context):
    return await services.services(context)


async def closed(bench):
    async with asyncio.timeout(10):
        while not bench.num_closed:
            await asyncio.sleep(0.005)


async def test_all_who_ask_at_once_share_a_bench_that_closes_after_the_last(opened):
    context = RunContext(run="a")
    one, two = await asyncio.gather(*(asyncio.create_task(ask(context)) for _ in range(2)))
    assert one is two
    await closed(one)
    assert (len(opened), one.num_closed) == (1, 1)
    assert await asyncio.create_task(ask(context)) is not one


async def test_a_bench_stays_open_as_long_as_a_task_works_at_it(opened):
    context = RunContext(run="a")
    bench = await ask(context)
    await asyncio.create_task(ask(context))
    await asyncio.wait({asyncio.ensure_future(asyncio.Event().wait())}, timeout=0.05)
    assert not bench.num_closed, "this very task still works at it"
    await services.release(context)
    assert bench.num_closed == 1
    await services.release(context)


async def test_a_run_that_has_ended_lets_go_at_once(opened, monkeypatch):
    monkeypatch.setattr(services, "IDLE_SECONDS", 1e6)
    context = RunContext(run="a")

    async def finish():
        bench = await ask(context)
        other = asyncio.create_task(ask(context))
        await other
        await services.let_go(context)
        assert bench.num_closed == 1, "nobody else works at it"
        return bench

    assert (await asyncio.create_task(finish())).num_closed == 1


async def test_a_run_that_has_ended_waits_for_whoever_still_works_at_it(opened, monkeypatch):
    monkeypatch.setattr(services, "IDLE_SECONDS", 1e6)
    context, begun, working = RunContext(run="a"), asyncio.Event(), asyncio.Event()

    async def work():
        bench = await ask(context)
        begun.set()
        await working.wait()
        return bench

    async def finish():
        await ask(context)
        await services.let_go(context)

    worker = asyncio.create_task(work())
    await begun.wait()
    await asyncio.create_task(finish())
    working.set()
    bench = await worker
    assert not bench.num_closed
    await closed(bench)


async def test_other_settings_wait_for_the_end_and_then_open_anew(opened):
    short, long = RunContext(run="a", archs=1), RunContext(run="a", archs=2)
    working, begun = asyncio.Event(), asyncio.Event()

    async def work():
        bench = await ask(short)
        begun.set()
        await working.wait()
        return bench

    worker = asyncio.create_task(work())
    await begun.wait()
    with pytest.raises(RunFolderError, match="runs/a is being worked on by a search with other settings"):
        await asyncio.create_task(ask(long))
    working.set()
    first = await worker
    assert await asyncio.create_task(ask(long)) is not first
    assert first.num_closed == 1


async def test_two_threads_of_a_graph_do_not_work_on_one_run(opened, monkeypatch):
    context, working, begun = RunContext(run="a"), asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(services, "_thread_id", lambda: asyncio.current_task().get_name())

    async def work():
        await ask(context)
        begun.set()
        await working.wait()

    worker = asyncio.create_task(work(), name="one")
    await begun.wait()
    with pytest.raises(RunFolderError, match="is being worked on by thread one"):
        await asyncio.create_task(ask(context), name="two")
    working.set()
    await worker
    assert await asyncio.create_task(ask(context), name="two") is opened[0], "idle, and with the same settings"


async def test_a_bench_that_cannot_be_opened_is_tried_again(opened):
    context = RunContext(run="a", task="wrong")
    for _ in range(2):
        with pytest.raises(TaskError):
            await asyncio.create_task(ask(context))
    await services.release(context)
    assert not opened


async def test_a_bench_that_nobody_waits_for_any_more_is_not_opened_to_its_end(opened, monkeypatch):
    context, begun = RunContext(run="a"), asyncio.Event()

    async def open_for_ever(context):
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(assembly, "open_bench", open_for_ever)
    waiting = asyncio.create_task(ask(context))
    await begun.wait()
    waiting.cancel()
    async with asyncio.timeout(10):
        await services.release(context)
    assert services._places == {}


async def test_a_graph_says_that_its_bench_takes_long_to_open(monkeypatch, opened):
    monkeypatch.setattr(services, "TICK_SECONDS", 0.01)
    seen, events = asyncio.Event(), []

    async def open_slowly(context):
        await seen.wait()
        return Bench()

    async def node(state: dict) -> dict:
        await services.services(RunContext(run="slow"))
        return state

    monkeypatch.setattr(assembly, "open_bench", open_slowly)
    graph = StateGraph(dict).add_node("node", node).add_edge(START, "node").compile()
    async for event in graph.astream({}, stream_mode="custom"):
        events.append(event["progress"])
        seen.set()
    assert (events[0]["doing"], events[0]["running"][0]["run"]) == ("open", "slow")
