"""Runs a search from the command line: start, progress, stop, resume."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import signal
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairnad.search.draw_choices import missing_prompt_text
from fairnad.settings.casting import describe_players
from fairnad.settings.search_settings import RunContext
from graphs.cli.arguments import INTERACTIVE, Presentation
from graphs.cli.exit_status import LIMIT_REACHED
from graphs.cli.output.progress import follow
from graphs.cli.output.terminal import make_console
from graphs.cli.review_prompt import answer
from graphs.cli.stop_signals import stop_signals
from graphs.report.run_files import write_run_files
from graphs.report.task_text import task_text
from graphs.runtime.base_scaling import base_text
from graphs.runtime.isolation import isolation_text
from graphs.runtime.registry import release, services
from graphs.runtime.run_services import RunServices
from graphs.runtime.slot_use import store_slot_use
from graphs.search.running import drive_search, read_result
from store.disk import storage_error
from tools.output import until_reader_leaves

if TYPE_CHECKING:
    from langgraph.types import Interrupt
    from rich.console import Console

EXIT_STATUS = {"finished": 0, "stalled": 1}
_PATIENCE_SECONDS = 3
"""Seconds until a line says that the run is being opened."""
_READER_LEFT = 128 + signal.SIGPIPE


def run(context: RunContext, presentation: Presentation = INTERACTIVE) -> int:
    """Start or resume a search, and show its progress.

    Returns:
        The exit status, see :func:`graphs.cli.search_command.main`.

    Raises:
        FairnadError: the search cannot start or continue; its records are kept.
    """
    work = functools.partial(asyncio.run, _run(context, presentation))
    status = until_reader_leaves(work, _READER_LEFT)
    if status == _READER_LEFT:
        print("stopped: the output was closed; the same command continues", file=sys.stderr)
    return status


async def _run(context: RunContext, presentation: Presentation) -> int:
    is_spoken = not (presentation.quiet or presentation.json)
    console = make_console()  # replaces characters that stdout cannot encode
    with stop_signals() as stopping:
        if is_spoken:
            console.print(f"FairNAD: {describe_players(context)}")
        try:
            live = await _open(context, stopping, console if is_spoken else None)
            if live is None:
                print("stopped before the search started", file=sys.stderr)
                return 128 + stopping.result()
            if is_spoken:
                console.print(task_text(live.task.report, live.budgets))
                if text := base_text(context, live.base):
                    console.print(text)
                console.print(isolation_text(context, live.lab.isolation))
                if text := missing_prompt_text(context, live.pack.name, live.pack.has):
                    console.print(text)
            with _full_disk_in_one_line(live.folder.path):
                return await _search(live, presentation, stopping)
        finally:
            await release(context)


async def _open(context: RunContext, stopping: asyncio.Future[int], console: Console | None) -> RunServices | None:
    """The services of the run; ``None`` if a signal arrived while they were opened."""
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
    return await services(context)  # from this task, so that they stay open as long as it runs


@contextlib.contextmanager
def _full_disk_in_one_line(folder: Path) -> Iterator[None]:
    """Report a full disk found by LangGraph's checkpointer or by a job as a storage error.

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


async def _search(live: RunServices, presentation: Presentation, stopping: asyncio.Future[int]) -> int:
    with follow(live, await live.history(), presentation) as progress:

        async def ask(interrupts: Sequence[Interrupt]) -> Any:
            return await answer(interrupts, live.context, progress)

        search = asyncio.ensure_future(drive_search(live, progress, ask))
        reached = live.spend_limit.watch()
        futures: set[asyncio.Future[Any]] = {search, stopping, reached}
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        if not search.done():
            progress.stopping(live.context.grace_seconds)
            await live.stop(live.context.grace_seconds)
            search.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await search
            await store_slot_use(live)
            await write_run_files(live, None)
            if not stopping.done():
                progress.limited(reached.result(), live.folder.path)
                return LIMIT_REACHED
            progress.stopped(stopping.result(), live.folder.path)
            return 128 + stopping.result()
    state = search.result()
    result = await read_result(live, state)
    if result.result_folder is not None:
        state["result"] = state["result"] | {"folder": str(result.result_folder)}
    progress.finished(result.history, state)
    return EXIT_STATUS[result.outcome]
