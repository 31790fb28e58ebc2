"""The draws of a run, each stored once under its candidate id."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from fairnad.errors import SettingsError
from fairnad.ideas.idea import Idea, MutationTarget
from fairnad.records.candidate import Stage
from fairnad.records.draw_decisions import DrawDecisions
from fairnad.records.history import History
from fairnad.search.draws import Draw, Slot
from fairnad.search.steady_state import staleness
from fairnad.settings.search_settings import RunContext
from graphs.runtime.replay import find_recorded_calls

if TYPE_CHECKING:
    from store.history_store import SqliteHistory

DRAW = "draw"
"""The step of a draw. Version 0 is the form of earlier versions, version 1 a whole :class:`Draw`."""
REVIEWED = "reviewed draw"
"""The step of a draw whose idea a reviewer changed or refused."""
_DRAW: TypeAdapter[Draw] = TypeAdapter(Draw)
_IDEA: TypeAdapter[Idea] = TypeAdapter(Idea)
_CHOICES: TypeAdapter[DrawDecisions] = TypeAdapter(DrawDecisions)
_SLOT_FIELDS = ("parent_id", "kind", "current_id", "previous_id")


class Draws:
    """The draws in a history; ``followed`` are the draws of the replayed run."""

    def __init__(self, history: SqliteHistory, followed: Sequence[Draw] = ()) -> None:
        self._history = history
        self._found: dict[str, Draw] = {}
        self.followed = followed

    async def read(self, candidate_id: str) -> Draw:
        """The draw of a candidate, after review.

        Raises:
            LookupError: the candidate was never drawn.
        """
        if candidate_id not in self._found:
            found = await asyncio.to_thread(self._find, candidate_id)
            if found is None:
                raise LookupError(f"no draw of {candidate_id} is stored")
            self._found[candidate_id] = found
        return self._found[candidate_id]

    def add(self, draw: Draw) -> None:
        """Store a draw, unless the id has one already."""
        self._history.add_step(draw.candidate_id, DRAW, 1, _DRAW.dump_python(draw, mode="json"))

    def change(self, draw: Draw) -> None:
        """Store a draw as changed by a reviewer."""
        self._history.add_step(draw.candidate_id, REVIEWED, 0, _DRAW.dump_python(draw, mode="json"))
        self._found.pop(draw.candidate_id, None)

    def list_numbered(self) -> list[Draw]:
        """All draws of the search in order, without the base and single ideas."""
        return read_draws(self._history)

    def find_known(self, slot: Slot) -> Draw | None:
        """The draw to repeat for a slot, made earlier or by the replayed run."""
        if (stored := self._history.find_step(slot.candidate_id, DRAW, 1)) is not None:
            return _DRAW.validate_python(stored)
        if (stored := self._history.find_step(slot.candidate_id, DRAW, 0)) is not None:
            return _read_old(slot, stored)
        return next((draw for draw in self.followed if draw.candidate_id == slot.candidate_id), None)

    def _find(self, candidate_id: str) -> Draw | None:
        changed = self._history.find_step(candidate_id, REVIEWED, 0)
        stored = changed or self._history.find_step(candidate_id, DRAW, 1)
        return None if stored is None else _DRAW.validate_python(stored)


def read_draws(history: SqliteHistory) -> list[Draw]:
    """The numbered draws of a run in order. Earlier versions numbered only steady-state draws."""
    draws = {name: _DRAW.validate_python(stored) for name, stored in history.find_steps(DRAW, 1)}
    for name, stored in history.find_steps(DRAW, 0):
        about: Any = stored.get("steady")
        if about is not None and name not in draws:
            draws[name] = _read_old(Slot(name, **{field: about["slot"][field] for field in _SLOT_FIELDS}), stored)
    numbered = [draw for draw in draws.values() if draw.number >= 0 and draw.slot.place.stage is not Stage.BASE]
    return sorted(numbered, key=lambda draw: draw.number)


def _read_old(slot: Slot, stored: Mapping[str, Any]) -> Draw:
    """A draw of an earlier version, which stored the slot in the checkpoints or under ``steady``."""
    result, about = stored["result"], stored.get("steady") or {}
    return Draw(
        slot=slot,
        idea=_IDEA.validate_python(result["idea"]),
        target=MutationTarget(result["target"]),
        choices=_CHOICES.validate_python(result["choices"]),
        number=about.get("number", -1),
        settled=tuple(about.get("settled", ())),
        earlier=tuple(about.get("earlier", ())),
    )


def mean_staleness(history: SqliteHistory) -> float | None:
    """See :func:`fairnad.search.steady_state.staleness`."""
    draws = [(draw.candidate_id, draw.settled) for draw in read_draws(history)]
    return staleness(draws, [record.candidate_id for record in history.records()])


def draws_to_follow(context: RunContext) -> list[Draw]:
    """The draws of the replayed run; empty unless a steady-state search is replayed.

    Each draw is repeated once the records exist that it was made from, so the replay does not depend on the speed of
    trainings. A duplicate is judged after the candidate that it repeats.

    Raises:
        SettingsError: the history of the replayed run is missing, or its schedule is not steady.
    """
    from store.history_store import FILE_NAME, SqliteHistory

    if context.search.schedule != "steady" or not context.llm.replay:
        return []
    path = find_recorded_calls(context.llm.replay, context.runs).parent / FILE_NAME
    if not path.is_file():
        raise SettingsError(f"--llm.replay: a steady search is replayed from its run folder, found no {path}")
    with contextlib.closing(SqliteHistory(path, read_only=True)) as history:
        records, draws = History(history.records()), read_draws(history)
    if not any(draw.settled for draw in draws):
        raise SettingsError(f"--llm.replay: expected a run with --search.schedule steady, found another: {path.parent}")
    followed: list[Draw] = []
    for draw in draws:
        record = records.get(draw.candidate_id)
        if record is not None:
            earlier = (record.duplicate_of,) if record.duplicate_of else ()
            followed.append(replace(draw, number=len(followed), earlier=earlier))
    return followed
