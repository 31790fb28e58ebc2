"""Writes the exported files and the report of a run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fairnad.search.finals import Finals
    from graphs.runtime.run_services import RunServices


async def write_run_files(bench: RunServices, finals: Finals | None) -> None:
    """Export sources and calls, and write the report.

    Args:
        finals: ``None`` before the end of the search.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    from graphs.report.html_report import REPORT_NAME, write_report
    from graphs.runtime.progress_events import ticking

    history = await bench.history()
    async with ticking("write", file=REPORT_NAME):
        await asyncio.to_thread(bench.folder.export)
        await asyncio.to_thread(write_report, bench.folder.path, bench.context, bench.budgets, history, finals)
