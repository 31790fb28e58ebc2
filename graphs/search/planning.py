"""Which slots a stage opens and which candidates are drawn next: decisions of the search, made of its history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from fairnad.domain.budget import Budget, has_room
from fairnad.ideas.idea import Idea, IdeaKind, MutationTarget, mutation_targets
from fairnad.ports import IdeaSampler
from fairnad.records.candidate import CandidateId, Stage, plain
from fairnad.records.draw_decisions import NO_CHOICES, Choices
from fairnad.records.history import History, Record
from fairnad.search import sampling
from fairnad.search.refinement import find_entry
from fairnad.search.steady_state import Place, last_draws
from fairnad.settings.search_settings import SearchSettings
from graphs.candidate.state import CandidateInput, Draw, SearchState, Slot


def open_slots(state: SearchState) -> list[Slot]:
    """The slots of the stage that have not trained yet and may be drawn again."""
    most = state["schedule"]["max_draws"]
    return [slot for slot in state["slots"] if not slot["trained_id"] and slot["num_draws"] < most]


def base_slots() -> list[Slot]:
    """The base model itself."""
    return [_slot(0, "", IdeaKind.NONE)]


def initial_slots(history: History, search: SearchSettings) -> list[Slot]:
    """k₀ mutations of the base (Algorithm 2, lines 6–10)."""
    base_id = history.base.candidate_id if history.base else ""
    return [_slot(i, base_id, IdeaKind.KNOWLEDGE) for i in range(search.initial)]


def fair_slots(history: History, search: SearchSettings) -> list[Slot]:
    """Stage I: top-k parents, ideas drawn fairly (lines 13–19)."""
    parents = sampling.top_k(history, search.fair)
    return [_slot(i, parent.candidate_id, IdeaKind.KNOWLEDGE) for i, parent in enumerate(parents)]


def pareto_slots(history: History, search: SearchSettings, budgets: Sequence[Budget]) -> list[Slot]:
    """Stage II: parents from the Pareto frontier, scaled up where there is room, adjusted where not (lines 20–29)."""
    parents = sampling.pareto_parents(history, budgets, search.pareto)
    return [_slot(i, parent.candidate_id, _pareto_kind(parent, search, budgets)) for i, parent in enumerate(parents)]


def _pareto_kind(parent: Record, search: SearchSettings, budgets: Sequence[Budget]) -> IdeaKind:
    assert parent.evaluation is not None, "a parent is trained"
    when_all = search.upscale_when == "all"
    if has_room(parent.evaluation.costs, budgets, search.upscale_below, when_all=when_all):
        return IdeaKind.UPSCALE
    return IdeaKind.HYPERPARAMETER


def refine_slots(history: History, search: SearchSettings, last_round: Sequence[Slot]) -> list[Slot]:
    """Stage III: chains that go on from their last trained model (lines 30–39); ``last_round`` is empty in round 1."""
    if last_round:
        chain = [slot["trained_id"] or slot["current_id"] for slot in last_round]
    else:
        chain = [parent.candidate_id for parent in sampling.top_k(history, search.refine)]
    return [_chained_slot(history, i, candidate_id) for i, candidate_id in enumerate(chain)]


def steady_slot(
    place: Place,
    history: History,
    search: SearchSettings,
    budgets: Sequence[Budget],
    current_ids: Mapping[CandidateId, str],
) -> Slot:
    """The slot of a place that is drawn by itself, planned from the records there are.

    Args:
        current_ids: of every candidate drawn so far the ``current_id`` of its slot.
    """
    if place.stage is Stage.INITIAL:
        return initial_slots(history, search)[place.slot]
    if place.stage is Stage.FAIR:
        return fair_slots(history, search)[place.slot]
    if place.stage is Stage.PARETO:
        return pareto_slots(history, search, budgets)[place.slot]
    if place.round == 1:
        return refine_slots(history, search, [])[place.slot]
    link = last_draws(current_ids)[place.before]
    stands_at = str(link) if history[str(link)].trained else current_ids[link]
    return _chained_slot(history, place.slot, stands_at)


def _chained_slot(history: History, number: int, candidate_id: str) -> Slot:
    """A slot whose chain stands at a candidate."""
    entry = find_entry(history, candidate_id)
    slot = _slot(number, entry.edited.candidate_id, IdeaKind.MUTATED)
    slot["current_id"] = candidate_id
    slot["previous_id"] = entry.previous.candidate_id if entry.previous else ""
    return slot


def _slot(number: int, parent_id: str, kind: IdeaKind) -> Slot:
    return Slot(
        slot=number, parent_id=parent_id, kind=str(kind), current_id="", previous_id="", num_draws=0, trained_id=""
    )


def draw_wave(
    state: SearchState,
    search: SearchSettings,
    seed: int,
    ideas: IdeaSampler,
    *,
    choose: Callable[[CandidateId, Idea], Choices] = lambda place, idea: NO_CHOICES,
    known: Mapping[str, Draw] | None = None,
    own: Sequence[Idea] = (),
    review: bool = False,
) -> list[CandidateInput]:
    """One candidate for each open slot, as many as there are trainings left; slots drawn least often come first.

    Args:
        choose: how the language models go about a candidate, asked once for each.
        known: draws that happened before, by candidate id; they are repeated.
        own: a person's ideas that come first, each once, wherever an idea of the knowledge database is drawn.
        review: whether a person sees the sources before they are trained.
    """
    slots = sorted(open_slots(state), key=lambda slot: (slot["num_draws"], slot["slot"]))[: state["num_left"]]
    stage = Stage(state["stage"])
    waiting = list(own)
    wave: list[CandidateInput] = []
    for slot in slots:
        place = CandidateId(state["generation"], stage, state["round"], slot["slot"], slot["num_draws"])
        drawn = (known or {}).get(str(place))
        if drawn is None:
            drawn = draw_idea(slot, place, search, seed, ideas, waiting)
            drawn = replace(drawn, choices=choose(place, drawn.idea))
        earlier = [other["candidate_id"] for other in wave]
        wave.append(candidate_input(place, slot, drawn, search, earlier=earlier, review=review))
    return wave


def candidate_input(
    place: CandidateId,
    slot: Slot,
    drawn: Draw,
    search: SearchSettings,
    *,
    earlier: Sequence[str] = (),
    review: bool = False,
) -> CandidateInput:
    """What the candidate graph is handed for a draw.

    Args:
        earlier: the candidates that are to be judged before it.
        review: whether a person sees the source before it is trained.
    """
    is_base = place.stage is Stage.BASE
    return CandidateInput(
        candidate_id=str(place),
        parent_id=slot["parent_id"],
        current_id=slot["current_id"],
        previous_id=slot["previous_id"],
        idea=plain(drawn.idea),
        target=str(drawn.target),
        choices=plain(drawn.choices),
        earlier=list(earlier),
        max_debugs=0 if is_base else search.max_debugs,
        max_downscales=search.max_downscales,
        review=review and not is_base,
        refused=False,
        idea_edited=False,
    )


def draw_idea(
    slot: Slot, place: CandidateId, search: SearchSettings, seed: int, ideas: IdeaSampler, waiting: list[Idea]
) -> Draw:
    """An idea of the slot's kind with its target; of ``waiting``, a person's own, the first is taken out."""
    kind = IdeaKind(slot["kind"])
    if kind in (IdeaKind.NONE, IdeaKind.MUTATED):
        return Draw(Idea("", kind), MutationTarget.ANY)
    generator = sampling.generator(seed, place, "idea")
    idea = waiting.pop(0) if waiting and kind is IdeaKind.KNOWLEDGE else ideas.sample(kind, generator)
    if not search.mutation_target:
        return Draw(idea, MutationTarget.ANY)
    return Draw(idea, sampling.draw(mutation_targets(idea), generator))


def settle_slots(slots: Sequence[Slot], wave: Sequence[CandidateInput], history: History) -> list[Slot]:
    """The slots after their wave: each draw counted, those that trained closed.

    Raises:
        LookupError: a candidate of the wave has no record.
    """
    drawn = {CandidateId.parse(c["candidate_id"]).slot: history[c["candidate_id"]] for c in wave}
    settled: list[Slot] = []
    for slot in slots:
        record = drawn.get(slot["slot"])
        if record is None:
            settled.append(slot)
        else:
            trained_id = record.candidate_id if record.trained else ""
            settled.append({**slot, "num_draws": slot["num_draws"] + 1, "trained_id": trained_id})
    return settled
