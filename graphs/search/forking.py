"""Forks: a new run from a checkpoint of another run, with its records, steps, replies and checkpoints up to there.

Candidate ids name the place in a search, so two continuations of one search cannot share a history. A fork gets its own
folder; the folder of its origin is only read.
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
from graphs.runtime.base_scaling import SCALE
from graphs.runtime.checkpointer import newest_thread, thread_id
from graphs.runtime.draws import DRAW, REVIEWED
from graphs.runtime.ending import FINAL_TEST
from graphs.runtime.limits import LIMITS
from graphs.runtime.module_library import ADMIT
from graphs.runtime.steps import REVIEW_IDEA
from graphs.search.graph import build
from store.disk import disk_errors
from store.history_store import FILE_NAME, SqliteHistory
from store.run_folder import CHECKPOINTS_NAME, OWN_IDEAS_NAME, RunFolder

if TYPE_CHECKING:
    from langgraph.checkpoint.base import CheckpointTuple
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver


_SEARCHING = frozenset({*Step, DRAW, REVIEWED, LIMITS, SCALE, REVIEW_IDEA, ADMIT})
"""The steps of a search that a fork copies; it repeats later steps such as the finals."""


@dataclass(frozen=True, slots=True)
class Fork:
    """A new run: its folder, its thread, and the checkpoint it starts from."""

    path: Path
    thread: str
    checkpoint_id: str
    num_records: int


async def list_checkpoints(origin: Path) -> list[dict[str, Any]]:
    """The checkpoints that a fork can start from, newest first: id, next node, stage, trained, best."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

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
    """Create the run ``new`` from a checkpoint of the run in folder ``origin``.

    Args:
        checkpoint_id: empty for the newest.

    Raises:
        RunFolderError: the checkpoint is unknown, or ``new`` exists already.
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
    in_flight = set(values.get("in_flight", ())) | {
        drawn["candidate_id"] for name in ("flights", "wave") for drawn in values.get(name, ())
    }  # runs of earlier versions have ``flights``
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
    """The checkpoints from the first to the named one, each the successor of the one before."""
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
    """Copy records with their steps and replies, and the draws of candidates in flight; return the number of records.

    Raises:
        RunFolderError: this search was evaluated on the test split.
    """
    with contextlib.closing(SqliteHistory(origin / FILE_NAME, read_only=True)) as history:
        if history.find_steps(FINAL_TEST, 0):
            raise RunFolderError(
                f"{origin.name} has had its final test, which could influence the candidates of a fork: "
                "start a new search instead"
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
        for candidate_id in in_flight - recorded:
            for step in history.steps(candidate_id):
                if step.step == DRAW:
                    into.add_step(candidate_id, DRAW, step.version, step.result)
    return len(records)


async def _copy_checkpoints(path: Sequence[CheckpointTuple], thread: str, into: AsyncSqliteSaver) -> None:
    """Copy checkpoints into another thread, without the writes after the last one."""
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
