"""Candidates in flight in the steady-state schedule: each runs its graph in its own asyncio task.

A task outlives the node that launched it, so that training continues while the search draws or a user reviews ideas.
All state is also stored elsewhere: after a crash the candidates are launched again, and their graphs repeat no
finished step.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import time
from collections import deque
from collections.abc import Callable
from statistics import mean
from typing import TYPE_CHECKING, Any

from fairnad.records.candidate import Step
from fairnad.settings.search_settings import RunContext

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.graph.state import CompiledStateGraph

    CandidateGraph = CompiledStateGraph[Any, Any, Any, Any]

_NUM_MEASURED = 32
"""Number of latest proposals in the mean duration."""


class AsyncCandidates:
    """The candidates in flight of one run."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._events: list[Any] = []
        self._changed = asyncio.Event()
        self._proposal_seconds: deque[float] = deque(maxlen=_NUM_MEASURED)

    @property
    def proposal_seconds(self) -> float | None:
        """Mean seconds from the launch of a candidate until its training starts or it fails."""
        return mean(self._proposal_seconds) if self._proposal_seconds else None

    def launch(
        self, graph: CandidateGraph, context: RunContext, config: RunnableConfig, candidate_id: str, *, is_new: bool
    ) -> None:
        """Start a candidate, unless it is in flight already.

        Args:
            graph: the compiled candidate graph.
            config: thread and callbacks (traces) of the search.
            is_new: whether this is its first launch, whose proposal time is measured.
        """
        if candidate_id not in self._tasks:
            # With an empty context, so that the task does not write to the node's stream and checkpoints.
            running = self._run(graph, context, config, candidate_id, is_new)
            task = asyncio.get_running_loop().create_task(running, context=contextvars.Context())
            task.add_done_callback(lambda _: self._changed.set())
            self._tasks[candidate_id] = task

    async def wait(self, write: Callable[[Any], None]) -> list[str]:
        """Wait until at least one candidate is recorded, and return the ids of the recorded candidates.

        An error of a candidate or a cancellation cancels all candidates.

        Args:
            write: receives the events streamed by the candidate graphs since the last call.
        """
        async with contextlib.AsyncExitStack() as on_error:
            on_error.push_async_callback(self.cancel)
            while not (done := [name for name, task in self._tasks.items() if task.done()]) and self._tasks:
                self._write_events(write)
                await self._changed.wait()
            for name in done:
                self._tasks[name].result()
            on_error.pop_all()
        self._write_events(write)
        for name in done:
            del self._tasks[name]
        return done

    async def cancel(self) -> None:
        """Cancel all candidates in flight."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(
        self, graph: CandidateGraph, context: RunContext, config: RunnableConfig, candidate_id: str, is_new: bool
    ) -> None:
        began, is_proposed = time.monotonic(), not is_new
        given = {"candidate_id": candidate_id}
        stream = graph.astream(given, config, context=context, stream_mode=["custom", "tasks"])
        event: Any
        async for mode, event in stream:
            if mode == "custom":
                self._keep(event)
            elif "input" in event:
                self._keep({"step": {"name": event["name"], "input": given}})
                if not is_proposed and event["name"] in (Step.TRAIN, Step.RECORD):
                    is_proposed = True
                    self._proposal_seconds.append(time.monotonic() - began)

    def _keep(self, event: Any) -> None:
        """Keep an event until a node writes it: LangGraph lets only the node's task write to its stream."""
        self._events.append(event)
        self._changed.set()

    def _write_events(self, write: Callable[[Any], None]) -> None:
        self._changed.clear()
        events, self._events = self._events, []
        for event in events:
            write(event)
