"""Who works at which bench: each run folder has one, opened by the first task that asks and closed after the last.

A bench holds the lock of its run folder and a warm lab. The command line keeps its bench until it ends. On a server
a run may end in many ways, among them an error, a cancellation, or an interrupt nobody answers for a week; what they
have in common is that no task works at the bench any more.
"""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fairnad.errors import RunFolderError
from fairnad.settings.search_settings import RunContext
from graphs.runtime.checkpointer import named
from graphs.runtime.progress_events import TICK_SECONDS, ticking

if TYPE_CHECKING:
    from graphs.runtime.run_services import Bench

IDLE_SECONDS = 10.0
"""How long a bench stays open that nobody works at: longer than the pause between two nodes."""

Key = tuple[str, str]


@dataclass(eq=False)
class _Place:
    context: RunContext
    thread_id: str
    opening: asyncio.Task[Bench]
    tasks: set[asyncio.Task[object]] = field(default_factory=set)
    idle_seconds: float = field(default_factory=lambda: IDLE_SECONDS)
    timer: asyncio.TimerHandle | None = None
    closing: asyncio.Task[None] | None = None


_places: dict[Key, _Place] = {}


async def services(context: RunContext) -> Bench:
    """The bench for these settings, opened by the first who asks and shared by all in this process.

    It stays open as long as the task lives that asks, and some seconds after the last. A run without a name gets one,
    see :func:`graphs.runtime.checkpointer.named`, which the bench's own settings have.

    Raises:
        RunFolderError: the run is being worked on with other settings, or by another thread of the graph.
    """
    place = await _find_or_open(named(context, _thread_id()))
    task = asyncio.current_task()
    assert task is not None
    if place.timer is not None:
        place.timer.cancel()
        place.timer = None
    if task not in place.tasks:
        place.tasks.add(task)
        task.add_done_callback(functools.partial(_leave, place))
    try:
        if place.opening.done():
            return place.opening.result()
        async with ticking("open", patience=TICK_SECONDS, run=place.context.run_name):
            return await asyncio.shield(place.opening)
    except Exception:
        if _places.get(_key(place.context)) is place:
            del _places[_key(place.context)]
        raise


async def release(context: RunContext) -> None:
    """Close the bench of this run; the next who asks opens a new one."""
    place = _places.get(_key(context))
    if place is not None:
        await _close(place)


async def let_go(context: RunContext) -> None:
    """Close the bench of a run that has ended: now, or as soon as no other task works at it."""
    place = _places[_key(named(context, _thread_id()))]
    place.idle_seconds = 0.0
    if {task for task in place.tasks if not task.done()} <= {asyncio.current_task()}:
        await _close(place)


async def current_bench() -> Bench:
    """The bench of the graph that is running this code, for tools."""
    from langgraph.runtime import get_runtime

    return await services(get_runtime(RunContext).context)


def _key(context: RunContext) -> Key:
    return (context.runs, context.run_name)


async def _find_or_open(context: RunContext) -> _Place:
    from graphs.runtime.assembly import open_bench

    key, thread_id = _key(context), _thread_id()
    while (place := _places.get(key)) is not None and place.opening.get_loop() is asyncio.get_running_loop():
        is_taken = bool(place.tasks) and place.thread_id not in ("", thread_id)
        if place.closing is None and place.context == context and not is_taken:
            place.thread_id = thread_id
            return place
        if place.closing is None and place.tasks:
            other = f"thread {place.thread_id}" if is_taken else "a search with other settings"
            raise RunFolderError(
                f"{context.runs}/{context.run_name} is being worked on by {other}: "
                "wait until that ends, or choose another --run"
            )
        await _close(place)
    _places[key] = _Place(context, thread_id, asyncio.ensure_future(open_bench(context)))
    return _places[key]


def _thread_id() -> str:
    """The thread of the graph that is running this code, empty where none is."""
    from langgraph.config import get_config

    try:
        return str(get_config()["configurable"].get("thread_id", ""))
    except RuntimeError:
        return ""


def _leave(place: _Place, task: asyncio.Task[object]) -> None:
    place.tasks.discard(task)
    if not place.tasks and place.closing is None:
        place.timer = task.get_loop().call_later(place.idle_seconds, _begin_closing, place)


def _begin_closing(place: _Place) -> asyncio.Task[None]:
    if place.closing is None:
        place.closing = asyncio.ensure_future(_end(place))
    return place.closing


async def _close(place: _Place) -> None:
    await asyncio.shield(_begin_closing(place))


async def _end(place: _Place) -> None:
    """Close the bench, which may be opening still or have failed to; its place is free only then."""
    try:
        place.opening.cancel()
        await asyncio.wait({place.opening})
        if not place.opening.cancelled() and place.opening.exception() is None:
            await place.opening.result().close()
    finally:
        if _places.get(_key(place.context)) is place:
            del _places[_key(place.context)]
