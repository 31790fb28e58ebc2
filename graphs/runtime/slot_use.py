"""The use of the training slots over all starts of a run, without killed ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from fairnad.records.candidate import BASE_ID, plain
from fairnad.records.slot_use import SlotUse

if TYPE_CHECKING:
    from graphs.runtime.run_services import RunServices
    from store.history_store import SqliteHistory

_SLOT_USE = "slot use"
_USE: TypeAdapter[SlotUse] = TypeAdapter(SlotUse)


async def store_slot_use(run: RunServices) -> None:
    """Store the slot use since the lab was opened or since the last call."""
    use = run.lab.take_slot_use()
    if use.slot_seconds:
        await asyncio.to_thread(_add, run.folder.history, use)


def slot_use(history: SqliteHistory) -> SlotUse:
    """The slot use of a run."""
    return sum(_sessions(history), SlotUse())


def _add(history: SqliteHistory, use: SlotUse) -> None:
    history.add_step(BASE_ID, _SLOT_USE, len(_sessions(history)), {"result": plain(use)})


def _sessions(history: SqliteHistory) -> list[SlotUse]:
    return [_USE.validate_python(one.result["result"]) for one in history.steps(BASE_ID) if one.step == _SLOT_USE]
