"""The contract of search strategies, and which slots the paper's stages open, from histories made by hand."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from fairnad.domain.budget import Budget
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.records.candidate import BASE_ID, CandidateId, Evaluation, Failure, FailureKind, Stage, Step
from fairnad.records.history import History, Record
from fairnad.search.draws import Slot
from fairnad.search.steady_state import SteadyStateStrategy
from fairnad.search.strategy import StageStrategy, Strategy, slots_of_stage
from fairnad.settings.search_settings import SearchSettings

BUDGETS = [Budget("params", "parameters", 100), Budget("flops", "multiply-adds", 100)]
SEARCH = SearchSettings(initial=3, fair=2, pareto=2, refine=2, refine_rounds=2, max_draws=3)
STRATEGIES: list[Callable[[], Strategy]] = [
    lambda: StageStrategy(SEARCH, BUDGETS),
    lambda: SteadyStateStrategy(SEARCH, BUDGETS),
]


def record(
    candidate_id: str, accuracy: float | None = None, parent_id: str = BASE_ID, *, params: float = 50, flops: float = 50
) -> Record:
    evaluation = failure = None
    if accuracy is None:
        failure = Failure(Step.EXECUTE, FailureKind.SHAPE, "")
    else:
        evaluation = Evaluation(accuracy, "r", {"params": params, "flops": flops}, candidate_id)
    return Record(candidate_id, parent_id, Idea("", IdeaKind.NONE), "", evaluation, failure)


BASE = record(BASE_ID, 0.5, parent_id="")


def initial(slot: int, accuracy: float | None, *, params: float = 50, flops: float = 50) -> Record:
    return record(str(CandidateId(0, Stage.INITIAL, 1, slot, 0)), accuracy, params=params, flops=flops)


def search(strategy: Strategy, num_trained: int, seed: int) -> tuple[list[Slot], list[Record]]:
    """A whole search in which candidates train or fail at random and end in a random order; checks the contract."""
    generator = random.Random(seed)
    drawn: list[Slot] = []
    records = [BASE]
    while (num_left := num_trained - len(History(records).trained)) > 0:
        history = History(records)
        in_flight = [slot for slot in drawn if history.get(slot.candidate_id) is None]
        slots = strategy.next_slots(drawn, history, num_left - len(in_flight))
        assert slots == strategy.next_slots(list(drawn), History(records), num_left - len(in_flight)), "the same again"
        assert len(slots) <= num_left - len(in_flight)
        assert slots or in_flight, "a search never hangs"
        for slot in slots:
            assert slot.candidate_id not in {other.candidate_id for other in drawn}, "no slot is drawn twice"
            assert history[slot.parent_id].trained, "a parent is trained"
            drawn.append(slot)
        in_flight += slots
        for slot in generator.sample(in_flight, generator.randint(1, len(in_flight))):
            accuracy = generator.random() if generator.random() < 0.6 else None
            records.append(record(slot.candidate_id, accuracy, slot.parent_id))
    assert strategy.next_slots(drawn, History(records), 0) == type(slots)(), "nothing is drawn if nothing is wanted"
    return drawn, records


@pytest.mark.parametrize("make", STRATEGIES)
@pytest.mark.parametrize("seed", range(4))
def test_every_strategy_draws_each_slot_once_from_trained_parents_and_repeats_itself(
    make: Callable[[], Strategy], seed: int
) -> None:
    _, records = search(make(), 24, seed)
    assert len(History(records).trained) == 24


@pytest.mark.parametrize("strategy", [StageStrategy(SEARCH, BUDGETS), SteadyStateStrategy(SEARCH, BUDGETS)], ids=type)
def test_the_papers_schedules_open_every_stage(strategy: Strategy) -> None:
    drawn, _ = search(strategy, 24, seed=0)
    assert {slot.place.stage for slot in drawn} == {Stage.INITIAL, Stage.FAIR, Stage.PARETO, Stage.REFINE}


def test_a_wave_is_over_before_the_next_slots_are_drawn() -> None:
    strategy = StageStrategy(SEARCH, BUDGETS)
    wave = strategy.next_slots([], History([BASE]), 9)
    assert [slot.candidate_id for slot in wave] == [f"g00-initial-r1-s0{number}-d0" for number in range(3)]
    assert not strategy.next_slots(wave, History([BASE, initial(0, 0.6)]), 8)


def test_failed_slots_are_drawn_again_until_their_draws_are_spent_and_the_least_drawn_come_first() -> None:
    strategy = StageStrategy(SEARCH, BUDGETS)
    records = [BASE, initial(0, None), initial(1, 0.6)]
    wave = strategy.next_slots([], History(records), 9)
    assert [slot.candidate_id for slot in wave] == ["g00-initial-r1-s02-d0", "g00-initial-r1-s00-d1"]
    assert [slot.candidate_id for slot in strategy.next_slots([], History(records), 1)] == ["g00-initial-r1-s02-d0"]
    spent = [record(f"g00-initial-r1-s00-d{number}") for number in (1, 2)]
    wave = strategy.next_slots([], History([*records, *spent, initial(2, 0.7)]), 9)
    assert {slot.place.stage for slot in wave} == {Stage.FAIR}


def test_stage_one_takes_the_best_and_cycles_if_there_are_few() -> None:
    history = History([BASE, initial(0, 0.6), initial(1, 0.9), initial(2, None)])
    slots = slots_of_stage(1, Stage.FAIR, history, SearchSettings(fair=3), BUDGETS)
    assert [slot.parent_id[-6:] for slot in slots] == ["s01-d0", "s00-d0", "s01-d0"]


def test_stage_two_scales_up_below_nine_tenths_of_any_limit_and_adjusts_otherwise() -> None:
    roomy, full = initial(0, 0.6, params=89, flops=99), initial(1, 0.7, params=90, flops=95)
    history = History([BASE, roomy, full])
    slots = slots_of_stage(1, Stage.PARETO, history, SearchSettings(pareto=2), BUDGETS)
    kinds = {slot.parent_id: slot.kind for slot in slots}
    assert kinds == {roomy.candidate_id: IdeaKind.UPSCALE, full.candidate_id: IdeaKind.HYPERPARAMETER}
    strict = slots_of_stage(1, Stage.PARETO, history, SearchSettings(pareto=2, upscale_when="all"), BUDGETS)
    assert {slot.kind for slot in strict} == {IdeaKind.HYPERPARAMETER}


def test_stage_three_edits_an_improved_child_and_the_parent_of_a_degraded_one() -> None:
    parent, up = initial(0, 0.6), record("g01-fair-r1-s00-d0", 0.7, parent_id="g00-initial-r1-s00-d0")
    down = record("g01-fair-r1-s01-d0", 0.65, parent_id="g01-fair-r1-s00-d0")
    history = History([BASE, parent, up, down])
    slots = slots_of_stage(1, Stage.REFINE, history, SearchSettings(refine=2), BUDGETS)
    assert [(slot.current_id, slot.previous_id, slot.parent_id) for slot in slots] == [
        (up.candidate_id, parent.candidate_id, up.candidate_id),
        (down.candidate_id, up.candidate_id, up.candidate_id),
    ]


def test_a_chain_continues_from_its_child_and_stays_where_the_child_failed() -> None:
    one, two = initial(0, 0.8), initial(1, 0.7)
    child = record("g01-refine-r1-s00-d0", 0.6, parent_id=one.candidate_id)
    failed = record("g01-refine-r1-s01-d0", None, parent_id=two.candidate_id)
    settings = SearchSettings(initial=2, refine=2, max_draws=1)
    slots = StageStrategy(settings, BUDGETS).next_slots([], History([BASE, one, two, child, failed]), 9)
    assert [(slot.candidate_id, slot.current_id, slot.parent_id) for slot in slots] == [
        ("g01-refine-r2-s00-d0", child.candidate_id, one.candidate_id),
        ("g01-refine-r2-s01-d0", two.candidate_id, two.candidate_id),
    ]
