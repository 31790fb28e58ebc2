"""A new run from an earlier point of another: its records, steps and answers up to there, and its checkpoints.

Candidate ids say where in a search a candidate was drawn, so two futures of one search cannot lie in one history.
A fork gets a folder of its own, and the folder it comes from is only read.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairnad.errors import RunFolderError
from fairnad.records.candidate import Step
from fairnad.records.history import Record
from fairnad.settings.search_settings import RunContext
from graphs.candidate.review import REVIEW_IDEA
from graphs.runtime.base_scaling import SCALE
from graphs.runtime.checkpointer import newest_thread, thread_id
from graphs.runtime.ending import FINAL_TEST
from graphs.runtime.limits import LIMITS
from graphs.runtime.module_library import ADMIT
from graphs.search.drawing import DRAW
from store.disk import disk_errors
from store.history_store import FILE_NAME, SqliteHistory
from store.run_folder import CHECKPOINTS_NAME, OWN_IDEAS_NAME, RunFolder

if TYPE_CHECKING:
    from langgraph.checkpoint.base import CheckpointTuple
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver


_SEARCHING = frozenset({*Step, DRAW, LIMITS, SCALE, REVIEW_IDEA, ADMIT})
"""The steps of a search; those after it, its finals for one, are taken anew."""


@dataclass(frozen=True, slots=True)
class Fork:
    """A run that was made of another: its folder, its thread, and the checkpoint it begins at."""

    path: Path
    thread: str
    checkpoint_id: str
    num_records: int


async def list_checkpoints(origin: Path) -> list[dict[str, Any]]:
    """The points of a run one could begin at, newest first: id, what comes next, stage, trained, best."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    from graphs.search.graph import build

    config: Any = {"configurable": {"thread_id": _thread_of(origin)}}
    async with AsyncSqliteSaver.from_conn_string(str(origin / CHECKPOINTS_NAME)) as saver:
        graph = build().compile(name="search", checkpointer=saver)
        return [
            {
                "checkpoint": state.config["configurable"]["checkpoint_id"],
                "next": ", ".join(dict.fromkeys(state.next)),
                "stage": state.values.get("stage", ""),
                "num_trained": state.values.get("num_trained", 0),
                "best_id": state.values.get("best_id", ""),
            }
            async for state in graph.aget_state_history(config)
        ]


async def fork_run(origin: Path, checkpoint_id: str, new: RunContext) -> Fork:
    """Make the run ``new`` of what the run in folder ``origin`` had found at a checkpoint.

    Args:
        checkpoint_id: empty: the newest.

    Raises:
        RunFolderError: there is no such checkpoint, or ``new`` exists already.
        StorageError: the disk is full, or a folder cannot be read or written.
    """
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    target = Path(new.runs) / new.run_name
    if target.exists():
        raise RunFolderError(f"{target} exists already: choose another name for the new run")
    async with AsyncSqliteSaver.from_conn_string(str(origin / CHECKPOINTS_NAME)) as saver:
        path = await _path_to(saver, _thread_of(origin), checkpoint_id, origin)
    recorded = {name for found in path for name in found.checkpoint["channel_values"].get("recorded", ())}
    values = path[-1].checkpoint["channel_values"]
    in_flight = {drawn["candidate_id"] for name in ("flights", "wave") for drawn in values.get(name, ())}
    with disk_errors(target), contextlib.ExitStack() as undo:
        scratch = Path(tempfile.mkdtemp(prefix=".fork-", dir=new.runs))
        undo.callback(shutil.rmtree, scratch, ignore_errors=True)
        made = scratch / target.name
        with RunFolder.open(new.model_copy(update={"runs": str(scratch)})) as folder:
            num_records = _copy_history(origin, recorded, in_flight, folder.history)
        if (origin / OWN_IDEAS_NAME).exists():
            shutil.copy(origin / OWN_IDEAS_NAME, made / OWN_IDEAS_NAME)
        async with AsyncSqliteSaver.from_conn_string(str(made / CHECKPOINTS_NAME)) as saver:
            await _copy_checkpoints(path, thread_id(new.run_name), saver)
        made.rename(target)
    RunFolder.open(new).close()  # its settings named the folder it was made in
    return Fork(target, thread_id(new.run_name), _id_of(path[-1]), num_records)


def _thread_of(origin: Path) -> str:
    thread = newest_thread(origin / CHECKPOINTS_NAME)
    if not thread:
        raise RunFolderError(f"expected checkpoints in {origin / CHECKPOINTS_NAME}, found none: the run has not begun")
    return thread


async def _path_to(saver: AsyncSqliteSaver, thread: str, checkpoint_id: str, origin: Path) -> Sequence[CheckpointTuple]:
    """The checkpoints from the first one to the one named, each made from the one before."""
    place: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
    if checkpoint_id:
        place["configurable"]["checkpoint_id"] = checkpoint_id
    path: list[CheckpointTuple] = []
    while place is not None:
        found = await saver.aget_tuple(place)
        if found is None:
            raise RunFolderError(
                f"{origin} has no checkpoint {checkpoint_id}: "
                f"`python -m graphs.search fork {shlex.quote(origin.name)}` lists them"
            )
        path.append(found)
        place = found.parent_config
    return path[::-1]


def _copy_history(origin: Path, recorded: set[str], in_flight: set[str], into: SqliteHistory) -> int:
    """Records with their steps and answers, and of what is in flight its numbered draws; how many records.

    Raises:
        RunFolderError: the test split of this search was opened.
    """
    with contextlib.closing(SqliteHistory(origin / FILE_NAME, read_only=True)) as history:
        if history.find_steps(FINAL_TEST, 0):
            raise RunFolderError(
                f"{origin.name} has had its final test, and what was seen there could choose the candidates of a fork: "
                "begin a new search instead"
            )
        into.note_pack(history.pack_digest(), history.pack_files())
        records: list[Record] = [record for record in history.records() if record.candidate_id in recorded]
        for key, answer in history.answers():
            if key.candidate_id in recorded:
                into.add_answer(key, answer)
        for record in records:
            for step in history.steps(record.candidate_id):
                if step.step in _SEARCHING:
                    into.add_step(record.candidate_id, step.step, step.version, step.result)
            into.add_record(record)
        for candidate_id, drawn in history.find_steps(DRAW, 0):
            if candidate_id in in_flight and "steady" in drawn:
                into.add_step(candidate_id, DRAW, 0, drawn)
    return len(records)


async def _copy_checkpoints(path: Sequence[CheckpointTuple], thread: str, into: AsyncSqliteSaver) -> None:
    """The path as the history of another thread; what followed its last checkpoint is left out."""
    parent: Mapping[str, str] = {}
    for found in path:
        place: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": "", **parent}}
        metadata: Any = found.metadata | {"thread_id": thread}
        stored = await into.aput(place, found.checkpoint, metadata, {})
        parent = {"checkpoint_id": _id_of(found)}
        written = defaultdict[str, list[tuple[str, Any]]](list)
        for task_id, channel, value in () if found is path[-1] else found.pending_writes or ():
            written[task_id].append((channel, value))
        for task_id, writes in written.items():
            await into.aput_writes(stored, writes, task_id)


def _id_of(found: CheckpointTuple) -> str:
    return str(found.config["configurable"]["checkpoint_id"])
