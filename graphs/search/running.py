"""Runs or resumes a search from Python. ``python -m graphs.search`` uses the same functions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fairnad.errors import SettingsError
from fairnad.records.history import History, Record
from fairnad.search.finals import Finals
from fairnad.settings.search_settings import RunContext
from graphs.report.result_folder import publish_result
from graphs.runtime.checkpointer import newest_thread, thread_id
from graphs.runtime.registry import release, services
from graphs.runtime.stored_finals import FINALS
from graphs.search.state import LAYOUT

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.types import Interrupt

    from graphs.runtime.run_services import RunServices

Answer = Callable[[Sequence["Interrupt"]], Awaitable[Any]]
"""Answers what waits for a review; the value resumes the graph."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The result of a search.

    ``outcome`` is ``finished``, or ``stalled`` if no candidate trained in the last draws. ``finals`` and
    ``result_folder`` are ``None`` if no network was retrained with fresh seeds.
    """

    outcome: str
    run_folder: Path
    history: History
    finals: Finals | None
    result_folder: Path | None


class Observer(Protocol):
    """Follows a search while it runs."""

    def task(self, event: dict[str, Any]) -> None:
        """Called when a step of the graph begins or ends, with an event of LangGraph's ``tasks`` stream."""

    def working(self, event: dict[str, Any]) -> None:
        """Called when long work such as a training progresses."""

    def recorded(self, record: Record) -> None:
        """Called with each new record."""


@dataclass(frozen=True, slots=True)
class _RecordObserver:
    """Passes records to a function and ignores all other events."""

    on_record: Callable[[Record], None]

    def task(self, event: dict[str, Any]) -> None:
        """Ignored."""

    def working(self, event: dict[str, Any]) -> None:
        """Ignored."""

    def recorded(self, record: Record) -> None:
        """Pass the record on."""
        self.on_record(record)


def run_search(context: RunContext, on_record: Callable[[Record], None] = lambda record: None) -> SearchResult:
    """Run a search to its end, or resume it if its run folder exists.

    Args:
        context: the settings; ``RunContext(task="digits", archs=8)`` takes the defaults for all others.
        on_record: called with each new record.

    Raises:
        UserError: a setting, the data or the run folder cannot be used, or the settings ask for a review.
        FairnadError: the search cannot continue. Its records are kept; call again to resume.
    """
    if context.review != "none":
        raise SettingsError(f"review: expected 'none' in a search without a terminal, found {context.review!r}")
    return asyncio.run(_run_search(context, _RecordObserver(on_record)))


async def _run_search(context: RunContext, observer: Observer) -> SearchResult:
    try:
        run = await services(context)
        state = await drive_search(run, observer)
        return await read_result(run, state)
    finally:
        await release(context)


async def drive_search(run: RunServices, observer: Observer, answer: Answer | None = None) -> dict[str, Any]:
    """Run the search graph from its last checkpoint to the end and return the final state.

    Args:
        answer: called when the graph waits for a review.
    """
    thread = await asyncio.to_thread(newest_thread, run.folder.checkpoints) or thread_id(run.context.run_name)
    config: RunnableConfig = {"configurable": {"thread_id": thread}}
    async with _open_graph(run) as graph:
        values = (await graph.aget_state(config)).values
        # Checkpoints of earlier versions have another layout; the search then continues from its history.
        start: Any = {} if values.get("outcome") or values.get("layout") != LAYOUT else None
        known = {record.candidate_id for record in (await run.history()).records}
        while True:
            await _stream(graph, run, config, start, observer, known)
            state = await graph.aget_state(config)
            if not state.interrupts:
                return dict(state.values)
            assert answer is not None, "only a reviewed search is interrupted"
            start = await answer(state.interrupts)


async def _stream(
    graph: CompiledStateGraph[Any, Any, Any, Any],
    run: RunServices,
    config: Any,
    start: Any,
    observer: Observer,
    known: set[str],
) -> None:
    """Run the graph until it ends or is interrupted; report each record that is not ``known`` yet."""
    stream = graph.astream(
        start, config, context=run.context, stream_mode=["custom", "tasks"], subgraphs=True, durability="sync"
    )
    event: Any
    async for _, mode, event in stream:
        if mode == "tasks":
            observer.task(event)
        elif "step" in event:
            observer.task(event["step"])
        elif "progress" in event:
            observer.working(event["progress"])
        elif event["recorded"] not in known:
            known.add(event["recorded"])
            observer.recorded(await run.record(event["recorded"]))


@contextlib.asynccontextmanager
async def _open_graph(run: RunServices) -> AsyncIterator[CompiledStateGraph[Any, Any, Any, Any]]:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    from graphs.search.graph import build

    async with AsyncSqliteSaver.from_conn_string(str(run.folder.checkpoints)) as saver:
        yield build().compile(name="search", checkpointer=saver)


async def read_result(run: RunServices, state: dict[str, Any]) -> SearchResult:
    """The result of a finished search; writes the result folder."""
    folder = await asyncio.to_thread(publish_result, run.folder.path) if state["result"] is not None else None
    history = await run.history()
    return SearchResult(state["outcome"], run.folder.path, history, FINALS.validate_python(state["finals"]), folder)
