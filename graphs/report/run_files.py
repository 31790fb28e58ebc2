"""The files of a run that people and other programs read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fairnad.search.finals import Finals
    from graphs.runtime.run_services import Bench


async def write_run_files(bench: Bench, finals: Finals | None) -> None:
    """Sources, calls and the report.

    Args:
        finals: how base and finalists did with fresh seeds; ``None`` before the end.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    from graphs.report.html_report import REPORT_NAME, write_report
    from graphs.runtime.progress_events import ticking

    history = await bench.history()
    async with ticking("write", file=REPORT_NAME):
        await asyncio.to_thread(bench.folder.export)
        await asyncio.to_thread(write_report, bench.folder.path, bench.context, bench.budgets, history, finals)
