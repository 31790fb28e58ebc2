"""Asks the strategy for the next slots, and draws an idea for each slot; resumed searches repeat neither."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING

from fairnad.ports import IdeaSampler
from fairnad.records.candidate import Stage
from fairnad.records.history import History
from fairnad.search.draw_choices import decide_draw, remembers_ideas
from fairnad.search.draws import Draw, Slot, draw_idea
from fairnad.search.lessons import UnspentIdeas, spent_ideas
from fairnad.search.model_choice import designers
from fairnad.search.sampling import Fairness
from fairnad.search.steady_state import Pace, ReplayedDraws, SteadyStateStrategy, depth
from fairnad.search.strategy import StageStrategy, Strategy, base_slot
from graphs.candidate.review import refuse_if_recorded

if TYPE_CHECKING:
    from fairnad.search.idea_selection import IdeaSelection
    from fairnad.settings.model_entries import LanguageModelSettings
    from fairnad.settings.search_settings import RunContext
    from graphs.runtime.run_services import RunServices
    from prompts.loader import Pack

_BUILT_IN_DRAWS = 8
"""Draws in flight when no language model mutates."""
_NUM_MEASURED = 32
"""Number of latest trainings in the mean duration."""


def next_slots(run: RunServices, history: History, in_flight: Sequence[str], num_left: int) -> list[Slot]:
    """The slots to draw next.

    After a kill, draws without a record come first and are repeated.

    Args:
        in_flight: candidates in progress, or recorded since the last plan.
        num_left: number of trainings left.
    """
    if history.base is None:
        return [base_slot()]
    draws = run.draws.list_numbered()
    lost = [draw.slot for draw in draws if history.get(draw.candidate_id) is None]
    lost = [slot for slot in lost if slot.candidate_id not in in_flight]
    drawn, strategy, room = [draw.slot for draw in draws], make_strategy(run, len(draws)), num_left
    if is_steady(run):
        num_in_flight = sum(history.get(name) is None for name in in_flight)
        room = min(find_depth(run, history), num_left) - num_in_flight - len(lost)
    elif lost:
        room = 0
    return [*lost, *strategy.next_slots(drawn, history, max(room, 0))]


def make_strategy(run: RunServices, num_drawn: int = 0) -> Strategy:
    """The strategy of the settings; a replay first follows the draws of the replayed run."""
    if num_drawn < len(run.draws.followed):
        return ReplayedDraws(run.draws.followed)
    if is_steady(run):
        return SteadyStateStrategy(run.context.search, run.budgets)
    return StageStrategy(run.context.search, run.budgets)


def is_steady(run: RunServices) -> bool:
    """Whether candidates are drawn without waiting for a stage."""
    return run.context.search.schedule == "steady"


def find_depth(run: RunServices, history: History) -> int:
    """The number of candidates that the steady-state schedule keeps in flight."""
    trainings = [record.evaluation.seconds for record in history.records if record.evaluation is not None]
    valid_share = (len(history.trained) + 1) / (len(history.drawn) + 1)
    pace = Pace(run.async_candidates.proposal_seconds, mean(trainings[-_NUM_MEASURED:]), valid_share)
    return depth(pace, run.lab.num_slots, most_at_once(run.context.llm))


def most_at_once(settings: LanguageModelSettings) -> int:
    """The number of parallel calls of all mutator models; a constant if no model mutates."""
    names = designers(settings.models, "mutator")
    return sum(entry.concurrency for entry in settings.models if entry.title in names) or _BUILT_IN_DRAWS


def draw_wave(run: RunServices, slots: Sequence[Slot]) -> list[Draw]:
    """Draw and store an idea for each slot; existing draws are repeated.

    Raises:
        IdeaFileError: the file of own ideas cannot be read.
        RunFolderError: the slot of a recorded candidate was changed in the state of the search.
    """
    search, history = run.context.search, History(run.folder.history.records())
    draws = run.draws.list_numbered()
    number = draws[-1].number + 1 if draws else 0
    seen = {name for draw in draws for name in draw.settled}
    settled = tuple(record.candidate_id for record in history.records if record.candidate_id not in seen)
    own_ideas = run.folder.own_ideas(run.pack.attribute_tree)
    selection = run.select(own_ideas)
    used = {draw.idea.idea_id for draw in draws}
    waiting = [idea for idea in own_ideas if idea.idea_id not in used and selection.allows(idea)]
    ideas = make_sampler(run.context, run.pack, selection, history)
    offer = run.library.offer if run.library else None
    wave: list[Draw] = []
    for slot in slots:
        is_numbered = slot.place.stage is not Stage.BASE
        earlier = () if is_steady(run) else tuple(other.candidate_id for other in wave)
        known = run.draws.find_known(slot)
        if known is not None and known.number >= 0:
            if known.slot != slot:
                refuse_if_recorded(run, slot.candidate_id, "")
            run.draws.add(known)
            wave.append(known)
            continue
        if known is not None:
            idea, target, choices = known.idea, known.target, known.choices
        else:
            idea, target = draw_idea(slot, ideas, waiting, run.context.seed, with_target="target" not in search.ablate)
            choices = decide_draw(run.context, run.pack.has, offer, history, slot.place, idea)
        draw = Draw(slot, idea, target, choices, number if is_numbered else -1, settled, earlier)
        run.draws.add(draw)
        wave.append(draw)
        number, settled = number + 1, ()
    return wave


def make_sampler(context: RunContext, pack: Pack, selection: IdeaSelection, history: History) -> IdeaSampler:
    """Draws fairly among a selection of ideas; if the search uses lessons, without ideas that are used up."""
    from agents.idea_sampler import FairIdeaSampler

    fairness = Fairness(context.search.fairness)
    ideas = FairIdeaSampler(selection, fairness, pack.upscaling_ideas, pack.adjustment_ideas)
    return UnspentIdeas(ideas, spent_ideas(history.drawn)) if remembers_ideas(context) else ideas
