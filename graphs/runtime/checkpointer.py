"""LangGraph's checkpoints in the run folders, for the command line and for a server.

``langgraph.json`` names :func:`make`. A server requests a thread only by its id, so this module finds the folder by id.
The command line derives the id from the run's name; for threads of a server, the settings of the run name the folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from fairnad.errors import RunFolderError
from fairnad.settings.search_settings import RunContext
from store.run_folder import CHECKPOINTS_NAME

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

RUNS_VARIABLE = "FAIRNAD_RUNS"
_CONTENT_ERRORS = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
COMMON_FOLDER = ".server"
"""Folder in the runs folder for checkpoints of threads without a run, such as chats."""


def thread_id(run_name: str) -> str:
    """The thread of a run of the command line: a UUID derived from its name, since servers require UUIDs."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"fairnad:{run_name}"))


def name_run(context: RunContext, thread: str) -> RunContext:
    """The settings with a run name; the default is the id of the thread.

    Runs of the command line, and runs outside a thread, are named after task and seed.
    """
    name = context.run_name
    return context.model_copy(update={"run": name if context.run or thread in ("", thread_id(name)) else thread})


def newest_thread(checkpoints: Path) -> str:
    """The newest thread, empty without a thread.

    Raises:
        RunFolderError: the file is damaged.
    """
    query = "SELECT thread_id FROM checkpoints WHERE checkpoint_ns = '' ORDER BY checkpoint_id DESC LIMIT 1"
    return next(_ask(checkpoints, query), "")


@contextlib.asynccontextmanager
async def make() -> AsyncIterator[RunCheckpointer]:
    """The checkpointer of a server, for the runs folder ``FAIRNAD_RUNS`` (default ``runs``)."""
    async with contextlib.AsyncExitStack() as opened:
        yield RunCheckpointer(Path(os.environ.get(RUNS_VARIABLE, "runs")), opened)


class RunCheckpointer(BaseCheckpointSaver[str]):
    """One checkpointer for the files of all runs; asynchronous methods only."""

    def __init__(self, runs: Path, opened: contextlib.AsyncExitStack) -> None:
        """Open nothing yet.

        Args:
            opened: closes the files at the end.
        """
        super().__init__()
        self._runs = runs
        self._opened = opened
        self._savers: dict[Path, AsyncSqliteSaver] = {}
        self._places: dict[str, Path] = {}
        self._opening = asyncio.Lock()

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint named in a configuration, by default the newest of the thread."""
        saver = await self._find(config)
        return None if saver is None else await saver.aget_tuple(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """The checkpoints of a thread, newest first."""
        saver = None if config is None else await self._find(config)
        if saver is not None:
            async for found in saver.alist(config, filter=filter, before=before, limit=limit):
                yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint; the first one of a thread decides on the folder of the thread."""
        saver = await self._find_or_begin(config)
        return await saver.aput(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store the writes of a task, which may arrive before their checkpoint."""
        saver = await self._find_or_begin(config)
        await saver.aput_writes(config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete the checkpoints of a thread; the records of its run stay."""
        saver = await self._find({"configurable": {"thread_id": thread_id}})
        if saver is not None:
            await saver.adelete_thread(thread_id)
        self._places.pop(thread_id, None)

    async def _find(self, config: RunnableConfig) -> AsyncSqliteSaver | None:
        thread = _thread(config)
        place = self._places.get(thread) or await asyncio.to_thread(self._search, thread)
        if place is None:
            return None
        self._places[thread] = place
        return await self._open(place)

    async def _find_or_begin(self, config: RunnableConfig) -> AsyncSqliteSaver:
        saver = await self._find(config)
        return saver or await self._open(self._places.setdefault(_thread(config), self._new_place(config)))

    def _search(self, thread: str) -> Path | None:
        query = "SELECT thread_id FROM checkpoints WHERE thread_id = ? LIMIT 1"
        for place in sorted(self._runs.glob(f"*/{CHECKPOINTS_NAME}")):
            with contextlib.suppress(RunFolderError):  # a damaged file must not block the others
                if any(_ask(place, query, thread)):
                    return place
        return None

    def _new_place(self, config: RunnableConfig) -> Path:
        """The folder for the checkpoints of a new thread, from the settings in its configuration."""
        configurable = config["configurable"]
        if (configurable.get("graph_id") or config.get("metadata", {}).get("graph_id")) != "search":
            return self._runs / COMMON_FOLDER / CHECKPOINTS_NAME
        given = {name: configurable[name] for name in ("run", "runs", "task", "data", "seed") if name in configurable}
        context = name_run(RunContext.model_validate({"runs": str(self._runs), **given}), _thread(config))
        is_plain = Path(context.run_name).name == context.run_name
        folder = Path(context.runs) / context.run_name if is_plain else self._runs / COMMON_FOLDER
        return folder / CHECKPOINTS_NAME

    async def _open(self, place: Path) -> AsyncSqliteSaver:
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        async with self._opening:
            if place not in self._savers:
                await asyncio.to_thread(place.parent.mkdir, parents=True, exist_ok=True)
                saver = AsyncSqliteSaver.from_conn_string(str(place))
                self._savers[place] = await self._opened.enter_async_context(saver)
            return self._savers[place]


def _thread(config: RunnableConfig) -> str:
    return str(config["configurable"]["thread_id"])


def _ask(place: Path, query: str, *values: str) -> Iterator[str]:
    """The first column of a query on a checkpoint file; empty if it has no table yet.

    Raises:
        RunFolderError: the file is damaged.
    """
    if not place.is_file():
        return
    try:
        with contextlib.closing(sqlite3.connect(place, timeout=60)) as connection:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'checkpoints'").fetchone():
                for row in connection.execute(query, values):
                    yield row[0]
    except sqlite3.DatabaseError as error:
        if not error.sqlite_errorname.startswith(_CONTENT_ERRORS):
            raise
        raise RunFolderError(
            f"{place} should hold LangGraph's checkpoints, but: {error}; remove it: the search then continues from "
            "its history and repeats no recorded work"
        ) from error
