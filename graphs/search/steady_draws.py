"""The draws of the steady schedule: each is numbered, and stored with what it was drawn from."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from fairnad.errors import SettingsError
from fairnad.ideas.idea import Idea
from fairnad.records.candidate import CandidateId, plain
from fairnad.records.history import History
from fairnad.search.model_choice import designers
from fairnad.search.steady_state import Pace, Place, depth, next_place, staleness
from fairnad.settings.search_settings import LanguageModelSettings, RunContext, SearchSettings
from graphs.candidate.state import CandidateInput, SearchState, SteadyDraw
from graphs.runtime.draw_choices import choose
from graphs.runtime.replay import recorded_calls
from graphs.search.drawing import DRAW, DRAWN, idea_sampler
from graphs.search.planning import candidate_input, draw_idea, steady_slot

if TYPE_CHECKING:
    from graphs.runtime.run_services import Bench
    from store.history_store import SqliteHistory


def _store(draw: SteadyDraw, history: SqliteHistory) -> None:
    """Keep a draw for good."""
    about = {"number": draw.number, "slot": draw.slot, "settled": draw.settled, "earlier": draw.earlier}
    history.add_step(draw.candidate_id, DRAW, 0, {"result": plain(draw.drawn), "steady": plain(about)})


def _to_fly(draw: SteadyDraw, search: SearchSettings) -> CandidateInput:
    """What the candidate graph is handed."""
    place = CandidateId.parse(draw.candidate_id)
    return candidate_input(place, draw.slot, draw.drawn, search, earlier=draw.earlier)


_MEASURED = 32
"""Trainings the mean is taken of: the newest."""
_ABOUT: TypeAdapter[Mapping[str, Any]] = TypeAdapter(Mapping[str, Any])


def steady_draws(history: SqliteHistory) -> list[SteadyDraw]:
    """The draws of a run in order; none where its schedule is another."""
    draws = []
    for candidate_id, stored in history.find_steps(DRAW, 0):
        if "steady" in stored:
            about = _ABOUT.validate_python(stored["steady"])
            drawn = DRAWN.validate_python(stored["result"])
            settled, earlier = tuple(about["settled"]), tuple(about["earlier"])
            draws.append(SteadyDraw(candidate_id, about["number"], about["slot"], settled, drawn, earlier))
    return sorted(draws, key=lambda draw: draw.number)


def mean_staleness(history: SqliteHistory) -> float | None:
    """The mean :func:`~fairnad.search.steady_state.staleness` of a steady search; ``None`` for another schedule."""
    draws = [(draw.candidate_id, draw.settled) for draw in steady_draws(history)]
    return staleness(draws, [record.candidate_id for record in history.records()])


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is to fly now, what was drawn before and is recorded already, and how many draws that makes."""

    wave: list[CandidateInput]
    recorded: list[str]
    num_drawn: int


async def draw_steadily(bench: Bench, state: SearchState) -> Drawn:
    """Draws until as many candidates are in flight as are of use; never more than there are trainings left.

    What was drawn before is drawn again, whatever has become of ideas and settings since.

    Raises:
        IdeaFileError: the file of own ideas cannot be read.
    """
    return await asyncio.to_thread(_draw_steadily, bench, state)


def _draw_steadily(bench: Bench, state: SearchState) -> Drawn:
    store, search = bench.folder.history, bench.context.search
    history, draws = History(store.records()), steady_draws(store)
    repeated = [draw for draw in draws if draw.number >= state.get("num_drawn", 0)]
    recorded = [draw.candidate_id for draw in repeated if history.get(draw.candidate_id) is not None]
    wave = [_to_fly(draw, search) for draw in repeated if draw.candidate_id not in recorded]
    made = _follow(bench.to_follow[len(draws) :], history)
    if len(draws) >= len(bench.to_follow):
        # By the history, since a state of before a crash counts neither what was recorded nor what was drawn after it.
        flying = [flown for flown in state.get("flights", []) if history.get(flown["candidate_id"]) is None]
        num_left = max(bench.context.archs - len(history.trained), 0)
        room = min(_depth(bench, history), num_left) - len(flying) - len(wave)
        made = _Drawer(bench, history, draws).draw(room) if room > 0 else []
    for draw in made:
        _store(draw, store)
    return Drawn([*wave, *(_to_fly(draw, search) for draw in made)], recorded, len(draws) + len(made))


def _follow(ahead: Sequence[SteadyDraw], history: History) -> list[SteadyDraw]:
    """The draws of another run whose records there are by now."""
    return list(itertools.takewhile(lambda draw: all(history.get(name) is not None for name in draw.settled), ahead))


def draws_to_follow(context: RunContext) -> list[SteadyDraw]:
    """The draws of the run that is replayed; none where the search finds its own.

    Each is made again as soon as the records are there it was made from, so that the replay does not depend on what
    trains how fast. A candidate that repeated another's architecture is judged after it.

    Raises:
        SettingsError: the calls of a run are given without its history, or it was not a steady one.
    """
    from store.history_store import FILE_NAME, SqliteHistory

    if context.search.schedule != "steady" or not context.llm.replay:
        return []
    path = recorded_calls(context.llm.replay, context.runs).parent / FILE_NAME
    if not path.is_file():
        raise SettingsError(f"--llm.replay: a steady search is replayed from its run folder, found no {path}")
    with contextlib.closing(SqliteHistory(path, read_only=True)) as history:
        records, draws = History(history.records()), steady_draws(history)
    if not draws:
        raise SettingsError(f"--llm.replay: expected a run with --search.schedule steady, found another: {path.parent}")
    followed: list[SteadyDraw] = []
    for draw in draws:
        record = records.get(draw.candidate_id)
        if record is not None:
            earlier = (record.duplicate_of,) if record.duplicate_of else ()
            followed.append(replace(draw, number=len(followed), earlier=earlier))
    return followed


def _depth(bench: Bench, history: History) -> int:
    trainings = [record.evaluation.seconds for record in history.records if record.evaluation is not None]
    valid_share = (len(history.trained) + 1) / (len(history.drawn) + 1)
    pace = Pace(bench.flights.proposal_seconds, mean(trainings[-_MEASURED:]), valid_share)
    return depth(pace, bench.lab.num_slots, most_at_once(bench.context.llm))


def most_at_once(settings: LanguageModelSettings) -> int:
    """Calls of those who design that may be under way together; the setting's number where nobody is asked."""
    names = designers(settings.entries, "mutator")
    return sum(entry.concurrency for entry in settings.entries if entry.title in names) or settings.concurrency


class _Drawer:
    """Makes new draws, one after the other, from the same records."""

    def __init__(self, bench: Bench, history: History, draws: Sequence[SteadyDraw]) -> None:
        pack = bench.pack
        own = bench.folder.own_ideas(pack.attribute_tree)
        selection = bench.select(own)
        used = {draw.drawn.idea.idea_id for draw in draws}
        self._bench = bench
        self._history = history
        self._waiting: list[Idea] = [idea for idea in own if idea.idea_id not in used and selection.allows(idea)]
        self._ideas = idea_sampler(bench.context, pack, selection, history)
        self._current_ids = {CandidateId.parse(draw.candidate_id): draw.slot["current_id"] for draw in draws}
        self._number = draws[-1].number + 1 if draws else 0
        seen = {name for draw in draws for name in draw.settled}
        self._settled = [record.candidate_id for record in history.records if record.candidate_id not in seen]

    def draw(self, number: int) -> list[SteadyDraw]:
        """The next so many draws, which are not stored yet."""
        return [self._next() for _ in range(number)]

    def _next(self) -> SteadyDraw:
        context, search = self._bench.context, self._bench.context.search
        place = next_place(self._current_ids, self._history, search)
        slot = steady_slot(Place(*place[:4]), self._history, search, self._bench.budgets, self._current_ids)
        drawn = draw_idea(slot, place, search, context.seed, self._ideas, self._waiting)
        pack, offer = self._bench.pack, self._bench.offer
        drawn = replace(drawn, choices=choose(context, pack, offer, self._history, place, drawn.idea))
        made = SteadyDraw(str(place), self._number, slot, tuple(self._settled), drawn)
        self._current_ids[place] = slot["current_id"]
        self._number, self._settled = self._number + 1, []
        return made
