"""Runs a search from the command line: start, progress, stop, resume."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairnad.settings.search_settings import RunContext
from graphs.cli.arguments import SPOKEN, Presentation
from graphs.cli.exit_status import LIMIT_REACHED
from graphs.cli.output.progress import Follower, follow
from graphs.cli.output.terminal import make_console
from graphs.cli.review_prompt import answer
from graphs.cli.stop_signals import stop_signals
from graphs.report.result_folder import publish_result
from graphs.report.run_files import write_run_files
from graphs.report.task_text import task_text
from graphs.runtime.base_scaling import base_text
from graphs.runtime.checkpointer import newest_thread, thread_id
from graphs.runtime.isolation import isolation_text
from graphs.runtime.registry import release, services
from graphs.runtime.roles import describe, form_text
from graphs.runtime.run_services import Bench
from graphs.runtime.slot_use import note_slot_use
from store.disk import storage_error
from tools.output import until_reader_leaves

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph
    from rich.console import Console

EXIT_STATUS = {"finished": 0, "barren": 1}
_PATIENCE_SECONDS = 3
"""Opening a run that takes longer is worth a line."""
_READER_LEFT = 128 + signal.SIGPIPE


def run(context: RunContext, presentation: Presentation = SPOKEN) -> int:
    """Start a search, or go on with it where it was left, and tell of it as asked.

    Returns:
        The exit status, see :func:`graphs.cli.search_command.main`.

    Raises:
        FairnadError: the search cannot begin or cannot go on; what was recorded is kept.
    """
    work = functools.partial(asyncio.run, _run(context, presentation))
    status = until_reader_leaves(work, _READER_LEFT)
    if status == _READER_LEFT:
        print("stopped: nobody reads the output any more; the same command goes on", file=sys.stderr)
    return status


async def _run(context: RunContext, presentation: Presentation) -> int:
    is_spoken = not (presentation.quiet or presentation.json)
    console = make_console()  # stdout may not be able to print every file's name
    with stop_signals() as stopping:
        if is_spoken:
            console.print(f"FairNAD: {describe(context)}")
        try:
            bench = await _open(context, stopping, console if is_spoken else None)
            if bench is None:
                print("stopped before the search began", file=sys.stderr)
                return 128 + stopping.result()
            if is_spoken:
                console.print(task_text(bench.task.report, bench.budgets))
                if text := base_text(context, bench.base):
                    console.print(text)
                console.print(isolation_text(context, bench.lab.isolation))
                if text := form_text(context, bench.pack):
                    console.print(text)
            with _full_disk_in_one_line(bench.folder.path):
                async with _compiled(bench) as graph:
                    return await _search(graph, bench, presentation, stopping)
        finally:
            await release(context)


async def _open(context: RunContext, stopping: asyncio.Future[int], console: Console | None) -> Bench | None:
    """The bench; ``None`` where a signal came while images were read or the sandbox started."""
    opening = asyncio.ensure_future(services(context))
    futures: set[asyncio.Future[Any]] = {opening, stopping}
    done, _ = await asyncio.wait(futures, timeout=_PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    if not done:
        if console is not None:
            console.print("opening the run: reading the data, starting the sandbox, measuring the base")
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    if not opening.done():
        opening.cancel()
        return None
    opening.result()
    return await services(context)  # asked for again: a bench stays open as long as a task lives that asks


@contextlib.contextmanager
def _full_disk_in_one_line(folder: Path) -> Iterator[None]:
    """What LangGraph's checkpoints and the jobs' files say of a full disk, as the stores say it.

    Raises:
        StorageError: the disk is full.
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        if is_full or getattr(error, "sqlite_errorname", "").startswith(("SQLITE_FULL", "SQLITE_IOERR")):
            raise storage_error(folder, str(error)) from error
        raise


@contextlib.asynccontextmanager
async def _compiled(bench: Bench) -> AsyncIterator[CompiledStateGraph[Any, Any, Any, Any]]:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    from graphs.search.graph import build

    async with AsyncSqliteSaver.from_conn_string(str(bench.folder.checkpoints)) as saver:
        yield build().compile(name="search", checkpointer=saver)


async def _search(
    graph: CompiledStateGraph[Any, Any, Any, Any],
    bench: Bench,
    presentation: Presentation,
    stopping: asyncio.Future[int],
) -> int:
    thread = await asyncio.to_thread(newest_thread, bench.folder.checkpoints) or thread_id(bench.context.run_name)
    config = {"configurable": {"thread_id": thread}}
    start = await _starting_point(graph, config)
    with follow(bench, await bench.history(), presentation) as progress:
        search = asyncio.ensure_future(_follow(graph, bench, config, start, progress))
        reached = bench.purse.watch()
        futures: set[asyncio.Future[Any]] = {search, stopping, reached}
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        if not search.done():
            progress.stopping(bench.context.grace_seconds)
            await bench.stop(bench.context.grace_seconds)
            search.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await search
            await note_slot_use(bench)
            await write_run_files(bench, None)
            if not stopping.done():
                progress.limited(reached.result(), bench.folder.path)
                return LIMIT_REACHED
            progress.stopped(stopping.result(), bench.folder.path)
            return 128 + stopping.result()
    outcome = search.result()
    if outcome["result"] is not None:
        folder = await asyncio.to_thread(publish_result, bench.folder.path)
        outcome["result"] = outcome["result"] | {"folder": str(folder)}
    progress.finished(await bench.history(), outcome)
    return EXIT_STATUS[outcome["outcome"]]


async def _starting_point(graph: CompiledStateGraph[Any, Any, Any, Any], config: Any) -> Any:
    """The input that starts a search or one that has ended, ``None`` to go on from the last checkpoint."""
    values = (await graph.aget_state(config)).values
    return {} if not values or values.get("outcome") else None


async def _follow(
    graph: CompiledStateGraph[Any, Any, Any, Any], bench: Bench, config: Any, start: Any, progress: Follower
) -> dict[str, Any]:
    """Run the graph to its end; where it waits for a person, ask at the terminal."""
    told = {record.candidate_id for record in (await bench.history()).records}
    while True:
        stream = graph.astream(
            start, config, context=bench.context, stream_mode=["custom", "tasks"], subgraphs=True, durability="sync"
        )
        event: Any
        async for _, mode, event in stream:
            if mode == "custom" and "step" in event:
                progress.task(event["step"])
            elif mode == "custom" and "progress" in event:
                progress.working(event["progress"])
            elif mode == "custom" and event["recorded"] not in told:
                told.add(event["recorded"])
                progress.recorded(await bench.record(event["recorded"]))
            elif mode == "tasks":
                progress.task(event)
        state = await graph.aget_state(config)
        if not state.interrupts:
            return dict(state.values)
        start = await answer(state.interrupts, bench.context, progress)
