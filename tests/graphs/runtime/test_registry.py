"""Services are opened once, shared, and closed when no task uses them any more."""

from __future__ import annotations

import asyncio

import pytest
from langgraph.graph import START, StateGraph

from fairnad.errors import RunFolderError, TaskError
from fairnad.settings.search_settings import RunContext
from graphs.runtime import assembly, registry
from graphs.runtime.registry import Registry

CONTEXT = RunContext(run="a")


class Services:
    """Counts how often it is closed."""

    def __init__(self) -> None:
        self.num_closed = 0

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.num_closed += 1


class ListingRegistry(Registry):
    """A registry that lists what it opened."""

    def __init__(self, **options) -> None:
        super().__init__(self.open_one, lambda context: context.run, busy=RunFolderError, **options)
        self.opened = []

    async def open_one(self, context):
        await asyncio.sleep(0)
        if context.task == "wrong":
            raise TaskError("no data")
        self.opened.append(Services())
        return self.opened[-1]


@pytest.fixture
def runs():
    return ListingRegistry(idle_seconds=0.01)


@pytest.fixture
def patient():
    """A registry that never closes what is idle."""
    return ListingRegistry(idle_seconds=1e6)


class Worker:
    """A task that uses services until it may end."""

    def __init__(self, runs, context=CONTEXT, name="worker") -> None:
        self._begun, self._may_end = asyncio.Event(), asyncio.Event()
        self._task = asyncio.create_task(self._work(runs, context), name=name)

    async def _work(self, runs, context):
        services = await runs.get(context)
        self._begun.set()
        await self._may_end.wait()
        return services

    async def begun(self):
        await self._begun.wait()
        return self

    async def end(self):
        self._may_end.set()
        return await self._task


def ask(runs, context=CONTEXT, name="asking"):
    return asyncio.create_task(runs.get(context), name=name)


async def closed(services):
    async with asyncio.timeout(10):
        while not services.num_closed:
            await asyncio.sleep(0.005)


async def test_all_tasks_share_services_that_close_after_the_last(runs):
    one, two = await asyncio.gather(ask(runs), ask(runs))
    assert one is two
    await closed(one)
    assert (len(runs.opened), one.num_closed) == (1, 1)
    assert await ask(runs) is not one


async def test_services_stay_open_as_long_as_a_task_uses_them(runs):
    services = await runs.get(CONTEXT)
    await ask(runs)
    await asyncio.wait({asyncio.ensure_future(asyncio.Event().wait())}, timeout=0.05)
    assert not services.num_closed, "this very task still uses them"
    await runs.release(CONTEXT)
    assert services.num_closed == 1
    await runs.release(CONTEXT)


async def test_a_run_that_has_ended_closes_at_once(patient):
    async def finish():
        services = await patient.get(CONTEXT)
        await ask(patient)
        await patient.release_when_unused(CONTEXT)
        assert services.num_closed == 1, "no other task uses them"

    await asyncio.create_task(finish())


async def test_a_run_that_has_ended_waits_for_the_tasks_that_still_use_it(patient):
    async def finish():
        await patient.get(CONTEXT)
        await patient.release_when_unused(CONTEXT)

    worker = await Worker(patient).begun()
    await asyncio.create_task(finish())
    services = await worker.end()
    assert not services.num_closed
    await closed(services)


async def test_other_settings_wait_for_the_end_and_open_new_services(runs):
    other = RunContext(run="a", archs=2)
    worker = await Worker(runs).begun()
    with pytest.raises(RunFolderError, match="a is in use by a search or build with other settings: wait"):
        await ask(runs, other)
    first = await worker.end()
    assert await ask(runs, other) is not first
    assert first.num_closed == 1


async def test_two_threads_of_a_graph_do_not_work_on_one_run(runs, monkeypatch):
    monkeypatch.setattr(registry, "current_thread_id", lambda: asyncio.current_task().get_name())
    worker = await Worker(runs, name="one").begun()
    with pytest.raises(RunFolderError, match="a is in use by thread one"):
        await ask(runs, name="two")
    services = await worker.end()
    assert await ask(runs, name="two") is services, "idle, and with the same settings"


async def test_threads_share_services_that_nobody_holds_alone(monkeypatch):
    monkeypatch.setattr(registry, "current_thread_id", lambda: asyncio.current_task().get_name())
    shared = ListingRegistry(is_shared=True)
    worker = await Worker(shared, name="one").begun()
    assert await ask(shared, name="two") is await worker.end()
    await shared.release(CONTEXT)


async def test_services_that_could_not_be_opened_are_tried_again(runs):
    context = RunContext(run="a", task="wrong")
    for _ in range(2):
        with pytest.raises(TaskError):
            await ask(runs, context)
    await runs.release(context)
    assert not runs.opened


async def test_an_opening_that_no_task_waits_for_is_cancelled(runs):
    begun = asyncio.Event()

    async def open_for_ever(context):
        begun.set()
        await asyncio.Event().wait()

    waiting_runs = Registry(open_for_ever, lambda context: context.run)
    waiting = ask(waiting_runs)
    await begun.wait()
    waiting.cancel()
    async with asyncio.timeout(10):
        await waiting_runs.release(CONTEXT)
    assert waiting_runs._entries == {}


async def test_a_graph_reports_that_its_services_take_long_to_open(monkeypatch):
    monkeypatch.setattr(registry, "TICK_SECONDS", 0.01)
    seen, events = asyncio.Event(), []

    async def open_slowly(context):
        await seen.wait()
        return Services()

    async def node(state: dict) -> dict:
        await registry.services(RunContext(run="slow"))
        return state

    monkeypatch.setattr(assembly, "open_services", open_slowly)
    graph = StateGraph(dict).add_node("node", node).add_edge(START, "node").compile()
    async for event in graph.astream({}, stream_mode="custom"):
        events.append(event["progress"])
        seen.set()
    assert (events[0]["doing"], events[0]["running"][0]["run"]) == ("open", "slow")
    await registry.release(RunContext(run="slow"))
