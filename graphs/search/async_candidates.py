"""Candidates in flight: each runs its graph in a task of its own, which outlives the node that launched it.

This is what the steady schedule needs and a wave cannot give: a wave ends when its last candidate does. Nothing is
kept here that is not stored elsewhere. A search that goes on after a crash launches its candidates again, and they
repeat no step that was finished.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Callable, Mapping
from statistics import mean
from typing import TYPE_CHECKING, Any

from fairnad.records.candidate import Step
from fairnad.settings.search_settings import RunContext

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

    from graphs.candidate.state import CandidateInput

    CandidateGraph = CompiledStateGraph[Any, Any, Any, Any]

Tell = Callable[[Any], None]

_MEASURED = 32
"""The proposals the mean is taken of: the newest."""


class Flights:
    """The candidates of one run that are in flight."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._untold: list[Any] = []
        self._news = asyncio.Event()
        self._proposal_seconds: deque[float] = deque(maxlen=_MEASURED)

    @property
    def proposal_seconds(self) -> float | None:
        """How long it took lately from a launch until there was something to train, on average; failures count."""
        return mean(self._proposal_seconds) if self._proposal_seconds else None

    def launch(
        self, graph: CandidateGraph, context: RunContext, thread_id: str, flown: CandidateInput, *, is_new: bool
    ) -> None:
        """Let a candidate go; one that is in flight is left alone.

        Args:
            graph: the compiled candidate graph.
            thread_id: the thread of the search, which the candidates work for.
            is_new: whether it begins, so that its proposal is worth measuring.
        """
        if flown["candidate_id"] not in self._tasks:
            # An empty context: a task that took over the node's would write into the node's stream and checkpoints.
            flight = self._fly(graph, context, thread_id, flown, is_new)
            task = asyncio.get_running_loop().create_task(flight, context=contextvars.Context())
            task.add_done_callback(lambda _: self._news.set())
            self._tasks[flown["candidate_id"]] = task

    async def land(self, tell: Tell) -> list[str]:
        """Wait until at least one candidate is recorded; the ids of those that are, in the order they were.

        Without any candidate in flight it returns at once. Where one ends the search by an error, or the wait is
        cancelled, all are.

        Args:
            tell: is handed what the candidates' graphs stream meanwhile, and what they did since the last time.
        """
        try:
            while not (landed := [name for name, task in self._tasks.items() if task.done()]) and self._tasks:
                self._tell_news(tell)
                await self._news.wait()
            for name in landed:
                self._tasks[name].result()
        except BaseException:
            await self.cancel()
            raise
        self._tell_news(tell)
        for name in landed:
            del self._tasks[name]
        return landed

    async def cancel(self) -> None:
        """End all that is in flight."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fly(
        self, graph: CandidateGraph, context: RunContext, thread_id: str, flown: CandidateInput, is_new: bool
    ) -> None:
        config: Any = {"configurable": {"thread_id": thread_id}}
        began, is_proposed = time.monotonic(), not is_new
        stream = graph.astream(flown, config, context=context, stream_mode=["custom", "tasks"])
        event: Any
        async for mode, event in stream:
            if mode == "custom":
                self._pass_on(event)
            elif "input" in event:
                self._pass_on({"step": _step(event["name"], flown)})
                if not is_proposed and event["name"] in (Step.TRAIN, Step.RECORD):
                    is_proposed = True
                    self._proposal_seconds.append(time.monotonic() - began)

    def _pass_on(self, event: Any) -> None:
        """Keep an event until it is told: LangGraph lets a node's own task alone write into its stream."""
        self._untold.append(event)
        self._news.set()

    def _tell_news(self, tell: Tell) -> None:
        self._news.clear()
        events, self._untold = self._untold, []
        for event in events:
            tell(event)


def _step(name: str, flown: CandidateInput) -> Mapping[str, Any]:
    """That a step begins, in the form LangGraph tells of a task."""
    return {"name": name, "input": {"candidate_id": flown["candidate_id"]}}
