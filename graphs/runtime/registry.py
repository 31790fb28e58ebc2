"""Registry of open services: one per run folder or knowledge folder, shared by all tasks of this process.

The first task that asks opens the services; they are closed some seconds after the last task has ended. They may hold
the lock of a folder, a warm lab and open clients. On a server a run can end by an error, a cancellation, or an
interrupt without an answer; in all cases no task uses the services any more.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from fairnad.errors import RunFolderError, UserError
from fairnad.settings.search_settings import RunContext
from graphs.runtime.checkpointer import name_run
from graphs.runtime.progress_events import TICK_SECONDS, ticking

if TYPE_CHECKING:
    from graphs.runtime.run_services import RunServices

IDLE_SECONDS = 10.0
"""Seconds that unused services stay open: longer than the pause between two nodes."""


class Closable(Protocol):
    """Services that a registry can hold."""

    async def close(self) -> None:
        """Release everything."""


Context = TypeVar("Context")
Services = TypeVar("Services", bound=Closable)


@dataclass(eq=False)
class _Entry(Generic[Context, Services]):
    context: Context
    thread_id: str
    opening: asyncio.Task[Services]
    idle_seconds: float
    tasks: set[asyncio.Task[object]] = field(default_factory=set)
    timer: asyncio.TimerHandle | None = None
    closing: asyncio.Task[None] | None = None


class Registry(Generic[Context, Services]):
    """Open services by key.

    Args:
        open_services: opens the services of a context.
        key: identifies what the services hold exclusively, such as a folder.
        is_shared: whether several threads of a graph may use the services at once.
        busy: the error for a key that is in use with other settings, or by another thread.
        remedy: the advice in that error.
    """

    def __init__(
        self,
        open_services: Callable[[Context], Awaitable[Services]],
        key: Callable[[Context], str],
        *,
        is_shared: bool = False,
        busy: type[UserError] = UserError,
        remedy: str = "wait until that ends",
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._open_services = open_services
        self._key = key
        self._is_shared = is_shared
        self._busy = busy
        self._remedy = remedy
        self._idle_seconds = idle_seconds
        self._entries: dict[str, _Entry[Context, Services]] = {}

    async def get(self, context: Context) -> Services:
        """The services of these settings, which stay open at least as long as the calling task.

        Raises:
            UserError: the key is in use with other settings, or by another thread.
        """
        entry = await self._find_or_open(context)
        task = asyncio.current_task()
        assert task is not None
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
        if task not in entry.tasks:
            entry.tasks.add(task)
            task.add_done_callback(functools.partial(self._leave, entry))
        await asyncio.wait({entry.opening})
        if entry.opening.exception() is not None:
            self._forget(entry)
        return entry.opening.result()

    async def release(self, context: Context) -> None:
        """Close the services of this context now, if they are open."""
        entry = self._entries.get(self._key(context))
        if entry is not None:
            await self._close(entry)

    async def release_when_unused(self, context: Context) -> None:
        """Close the services as soon as no other task uses them, without waiting for more tasks."""
        entry = self._entries.get(self._key(context))
        if entry is not None:
            entry.idle_seconds = 0.0
            if {task for task in entry.tasks if not task.done()} <= {asyncio.current_task()}:
                await self._close(entry)

    async def _find_or_open(self, context: Context) -> _Entry[Context, Services]:
        key, thread_id = self._key(context), "" if self._is_shared else current_thread_id()
        while (entry := self._entries.get(key)) and entry.opening.get_loop() is asyncio.get_running_loop():
            is_taken = bool(entry.tasks) and entry.thread_id not in ("", thread_id)
            if entry.closing is None and entry.context == context and not is_taken:
                entry.thread_id = thread_id
                return entry
            if entry.closing is None and entry.tasks:
                user = f"thread {entry.thread_id}" if is_taken else "a search or build with other settings"
                raise self._busy(f"{key} is in use by {user}: {self._remedy}")
            await self._close(entry)
        opening = asyncio.ensure_future(self._open_services(context))
        self._entries[key] = _Entry(context, thread_id, opening, self._idle_seconds)
        return self._entries[key]

    def _leave(self, entry: _Entry[Context, Services], task: asyncio.Task[object]) -> None:
        entry.tasks.discard(task)
        if not entry.tasks and entry.closing is None:
            entry.timer = task.get_loop().call_later(entry.idle_seconds, self._begin_closing, entry)

    def _begin_closing(self, entry: _Entry[Context, Services]) -> asyncio.Task[None]:
        if entry.closing is None:
            entry.closing = asyncio.ensure_future(self._end(entry))
        return entry.closing

    async def _close(self, entry: _Entry[Context, Services]) -> None:
        await asyncio.shield(self._begin_closing(entry))

    async def _end(self, entry: _Entry[Context, Services]) -> None:
        """Close the services, which may still be opening or have failed to open; the key is free only then."""
        try:
            entry.opening.cancel()
            await asyncio.wait({entry.opening})
            if not entry.opening.cancelled() and entry.opening.exception() is None:
                await entry.opening.result().close()
        finally:
            self._forget(entry)

    def _forget(self, entry: _Entry[Context, Services]) -> None:
        key = self._key(entry.context)
        if self._entries.get(key) is entry:
            del self._entries[key]


def current_thread_id() -> str:
    """The thread of the graph that is running this code, empty outside a graph."""
    from langgraph.config import get_config

    try:
        return str(get_config()["configurable"].get("thread_id", ""))
    except RuntimeError:
        return ""


async def _open_run(context: RunContext) -> RunServices:
    from graphs.runtime.assembly import open_services

    return await open_services(context)


_runs: Registry[RunContext, RunServices] = Registry(
    _open_run,
    lambda context: f"{context.runs}/{context.run_name}",
    busy=RunFolderError,
    remedy="wait until that ends, or choose another --run",
)


async def services(context: RunContext) -> RunServices:
    """The services of a run; a run without a name gets a default, see :func:`graphs.runtime.checkpointer.name_run`.

    Raises:
        RunFolderError: the run is in use with other settings, or by another thread of the graph.
    """
    context = name_run(context, current_thread_id())
    async with ticking("open", patience=TICK_SECONDS, run=context.run_name):
        return await _runs.get(context)


async def release(context: RunContext) -> None:
    """Close the services of this run; the next task that asks opens new ones."""
    await _runs.release(context)


async def let_go(context: RunContext) -> None:
    """Close the services of a run that has ended: now, or as soon as no other task uses them."""
    await _runs.release_when_unused(name_run(context, current_thread_id()))


async def current_services() -> RunServices:
    """The services of the graph that is running this code, for tools."""
    from langgraph.runtime import get_runtime

    return await services(get_runtime(RunContext).context)
