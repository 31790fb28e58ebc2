"""How well a run used its slots, over all sessions it was searched in; one that was killed is left out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from fairnad.records.candidate import BASE_ID, plain
from fairnad.records.slot_use import SlotUse

if TYPE_CHECKING:
    from graphs.runtime.run_services import Bench
    from store.history_store import SqliteHistory

_SLOT_USE = "slot use"
_USE: TypeAdapter[SlotUse] = TypeAdapter(SlotUse)


async def note_slot_use(bench: Bench) -> None:
    """Store how the slots were used since the lab was opened, or this was last noted."""
    use = bench.lab.take_slot_use()
    if use.slot_seconds:
        await asyncio.to_thread(_add, bench.folder.history, use)


def slot_use(history: SqliteHistory) -> SlotUse:
    """What was noted of a run."""
    return sum(_sessions(history), SlotUse())


def _add(history: SqliteHistory, use: SlotUse) -> None:
    history.add_step(BASE_ID, _SLOT_USE, len(_sessions(history)), {"result": plain(use)})


def _sessions(history: SqliteHistory) -> list[SlotUse]:
    return [_USE.validate_python(one.result["result"]) for one in history.steps(BASE_ID) if one.step == _SLOT_USE]
