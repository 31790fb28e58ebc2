"""From open slots to a wave of candidates: each is drawn once, with a person's own ideas first."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from fairnad.ports import IdeaSampler
from fairnad.records.candidate import Stage
from fairnad.records.history import History, Record
from fairnad.search.lessons import UnspentIdeas, spent_ideas
from fairnad.search.sampling import Fairness
from graphs.candidate.state import CandidateInput, Draw, SearchState
from graphs.runtime.draw_choices import choose, remembers
from graphs.search.planning import draw_wave

if TYPE_CHECKING:
    from fairnad.search.idea_selection import IdeaSelection
    from fairnad.settings.search_settings import RunContext
    from graphs.runtime.run_services import Bench
    from prompts.loader import Pack

DRAW = "draw"
DRAWN: TypeAdapter[Draw] = TypeAdapter(Draw)


async def draw_once(bench: Bench, state: SearchState) -> list[CandidateInput]:
    """The next wave. What was drawn before is drawn again, whatever has become of ideas and settings since.

    Raises:
        IdeaFileError: the file of own ideas cannot be read.
    """
    return await asyncio.to_thread(_draw_once, bench, state)


def idea_sampler(context: RunContext, pack: Pack, selection: IdeaSelection, history: History) -> IdeaSampler:
    """Draws fairly among the ideas of a selection, but for those that are spent where a search remembers."""
    from agents.idea_sampler import FairIdeaSampler

    fairness = Fairness(context.search.fairness)
    ideas = FairIdeaSampler(selection, fairness, pack.upscaling_ideas, pack.adjustment_ideas)
    return UnspentIdeas(ideas, spent_ideas(history.drawn)) if remembers(context) else ideas


def _draw_once(bench: Bench, state: SearchState) -> list[CandidateInput]:
    history, pack, search = bench.folder.history, bench.pack, bench.context.search
    own = bench.folder.own_ideas(pack.attribute_tree)
    selection = bench.select(own)
    known = {name: DRAWN.validate_python(stored["result"]) for name, stored in history.find_steps(DRAW, 0)}
    drawn_ids = {drawn.idea.idea_id for drawn in known.values()}
    before = _before(state, History(history.records()))
    wave = draw_wave(
        state,
        search,
        bench.context.seed,
        idea_sampler(bench.context, pack, selection, before),
        choose=functools.partial(choose, bench.context, pack, bench.offer, before),
        known=known,
        own=[idea for idea in own if idea.idea_id not in drawn_ids and selection.allows(idea)],
        review=bench.context.review == "candidates",
    )
    for candidate in wave:
        result = {"idea": candidate["idea"], "target": candidate["target"], "choices": candidate["choices"]}
        history.add_step(candidate["candidate_id"], DRAW, 0, {"result": result})
    return wave


def _before(state: SearchState, history: History) -> History:
    """The records of earlier waves, also where the search went back."""
    stage = (state["generation"], Stage(state["stage"]).order, state["round"])
    num_draws = {slot["slot"]: slot["num_draws"] for slot in state["slots"]}

    def is_earlier(record: Record) -> bool:
        place = record.place
        drawn_in = place.order[: len(stage)]
        return drawn_in < stage or (drawn_in == stage and place.draw < num_draws.get(place.slot, 0))

    return History(record for record in history.records if is_earlier(record))
