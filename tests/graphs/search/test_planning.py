"""Which slots are opened and who is drawn, from histories made by hand."""

import numpy as np
import pytest

from fairnad.domain.budget import Budget
from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind, MutationTarget
from fairnad.records.candidate import CandidateId, Evaluation, Failure, FailureKind, Stage, Step
from fairnad.records.history import History, Record
from fairnad.settings.search_settings import SearchSettings
from graphs.search import planning

BUDGETS = [Budget("params", "parameters", 100), Budget("flops", "multiply-adds", 100)]
TAG = Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation", "gelu")


def record(candidate_id, accuracy=None, params=50.0, flops=50.0, parent_id="g00-base-r1-s00-d0"):
    evaluation = failure = None
    if accuracy is None:
        failure = Failure(Step.EXECUTE, FailureKind.SHAPE, "")
    else:
        evaluation = Evaluation(accuracy, "r", {"params": params, "flops": flops}, candidate_id)
    return Record(candidate_id, parent_id, Idea("", IdeaKind.NONE), "", evaluation, failure)


BASE = record("g00-base-r1-s00-d0", 0.5, parent_id="")


def initial(slot, accuracy, **costs):
    return record(str(CandidateId(0, Stage.INITIAL, 1, slot, 0)), accuracy, **costs)


class Ideas:
    """Says which kind was asked for; no idea store is needed to plan."""

    def sample(self, kind, generator):
        tag = TAG if kind is IdeaKind.KNOWLEDGE else None
        return Idea(f"{kind} {generator.integers(1_000_000)}", kind, tag)


def state(slots, stage=Stage.FAIR, num_left=99, max_draws=4):
    schedule = {"refine_rounds": 2, "max_draws": max_draws, "max_barren_draws": 24}
    return {
        "schedule": schedule,
        "generation": 1,
        "stage": stage,
        "round": 1,
        "slots": slots,
        "num_left": num_left,
    }


def test_stage_one_takes_the_best_by_validation_accuracy_and_cycles_when_there_are_few():
    history = History([BASE, initial(0, 0.6), initial(1, 0.9), initial(2, None)])
    slots = planning.fair_slots(history, SearchSettings(fair=3))
    assert [slot["parent_id"] for slot in slots] == [
        "g00-initial-r1-s01-d0",
        "g00-initial-r1-s00-d0",
        "g00-initial-r1-s01-d0",
    ]


def test_stage_two_scales_up_below_nine_tenths_of_any_limit_and_adjusts_otherwise():
    roomy, full = initial(0, 0.6, params=89, flops=99), initial(1, 0.7, params=90, flops=95)
    slots = planning.pareto_slots(History([BASE, roomy, full]), SearchSettings(pareto=2), BUDGETS)
    kinds = {slot["parent_id"]: slot["kind"] for slot in slots}
    assert kinds == {roomy.candidate_id: IdeaKind.UPSCALE, full.candidate_id: IdeaKind.HYPERPARAMETER}
    strict = SearchSettings(pareto=2, upscale_when="all")
    assert {slot["kind"] for slot in planning.pareto_slots(History([BASE, roomy, full]), strict, BUDGETS)} == {
        IdeaKind.HYPERPARAMETER
    }


def test_stage_three_edits_an_improved_child_and_the_parent_of_a_degraded_one():
    parent, up = initial(0, 0.6), record("g01-fair-r1-s00-d0", 0.7, parent_id="g00-initial-r1-s00-d0")
    down = record("g01-fair-r1-s01-d0", 0.65, parent_id="g01-fair-r1-s00-d0")
    slots = planning.refine_slots(History([BASE, parent, up, down]), SearchSettings(refine=2), [])
    assert [(s["current_id"], s["previous_id"], s["parent_id"]) for s in slots] == [
        (up.candidate_id, parent.candidate_id, up.candidate_id),
        (down.candidate_id, up.candidate_id, up.candidate_id),
    ]


def test_a_chain_goes_on_from_its_child_and_stays_where_the_child_failed():
    one, two = initial(0, 0.8), initial(1, 0.7)
    child = record("g01-refine-r1-s00-d0", 0.6, parent_id=one.candidate_id)
    history = History([BASE, one, two, child])
    first = planning.refine_slots(History([BASE, one, two]), SearchSettings(refine=2), [])
    first[0]["trained_id"] = child.candidate_id
    second = planning.refine_slots(history, SearchSettings(refine=2), first)
    assert [(slot["current_id"], slot["parent_id"]) for slot in second] == [
        (child.candidate_id, one.candidate_id),
        (two.candidate_id, two.candidate_id),
    ]


def test_a_wave_fills_the_trainings_left_with_the_slots_drawn_least_often():
    slots = planning.initial_slots(History([BASE]), SearchSettings(initial=4))
    slots[0]["num_draws"], slots[1]["trained_id"] = 1, "x"
    wave = planning.draw_wave(state(slots, Stage.INITIAL, num_left=2), SearchSettings(), 0, Ideas())
    assert [c["candidate_id"] for c in wave] == ["g01-initial-r1-s02-d0", "g01-initial-r1-s03-d0"]
    assert wave[1]["earlier"] == ["g01-initial-r1-s02-d0"]


def test_a_slot_is_not_drawn_more_often_than_allowed():
    slots = planning.initial_slots(History([BASE]), SearchSettings(initial=2))
    slots[0]["num_draws"] = 4
    assert [slot["slot"] for slot in planning.open_slots(state(slots))] == [1]


def test_the_same_seed_draws_the_same_ideas_and_another_draw_another_idea():
    slots = planning.initial_slots(History([BASE]), SearchSettings(initial=2))
    one, again = (planning.draw_wave(state(slots), SearchSettings(), 7, Ideas()) for _ in range(2))
    assert one == again
    slots[0]["num_draws"] = 1
    redrawn = planning.draw_wave(state(slots), SearchSettings(), 7, Ideas())
    assert redrawn[1]["idea"] != one[0]["idea"]
    assert redrawn[0] == one[1] | {"earlier": []}


def test_the_mutation_target_follows_the_granularity_uniformly_and_can_be_ablated():
    slots = planning.initial_slots(History([BASE]), SearchSettings(initial=200))
    targets = [c["target"] for c in planning.draw_wave(state(slots, num_left=200), SearchSettings(), 0, Ideas())]
    assert set(targets) == {"new module", "modify module"}
    assert np.isclose(targets.count("new module") / 200, 0.5, atol=0.12)
    ablated = planning.draw_wave(state(slots), SearchSettings(mutation_target=False), 0, Ideas())
    assert {c["target"] for c in ablated} == {"any"}


def test_the_base_is_neither_debugged_nor_given_an_idea():
    (drawn,) = planning.draw_wave(state(planning.base_slots(), Stage.BASE), SearchSettings(), 0, Ideas())
    assert (drawn["max_debugs"], drawn["idea"]["kind"], drawn["parent_id"]) == (0, "none", "")


def test_settling_counts_each_draw_and_closes_what_trained():
    slots = planning.initial_slots(History([BASE]), SearchSettings(initial=3))
    wave = [{"candidate_id": "g00-initial-r1-s00-d0"}, {"candidate_id": "g00-initial-r1-s01-d0"}]
    settled = planning.settle_slots(slots, wave, History([BASE, initial(0, 0.5), initial(1, None)]))
    assert [(s["num_draws"], s["trained_id"]) for s in settled] == [(1, "g00-initial-r1-s00-d0"), (1, ""), (0, "")]


def test_a_wave_without_records_cannot_be_settled():
    with pytest.raises(LookupError):
        planning.settle_slots([], [{"candidate_id": "g00-initial-r1-s00-d0"}], History([BASE]))


def test_own_ideas_come_first_where_knowledge_is_drawn_and_known_draws_are_repeated():
    slots = planning.initial_slots(History([BASE]), SearchSettings(initial=3))
    slots[0]["kind"] = "upscale"
    own = [Idea("mine", tag=TAG)]
    first = planning.draw_wave(state(slots), SearchSettings(), 0, Ideas(), own=own)
    assert [c["idea"]["text"] for c in first][1] == "mine"
    assert "mine" not in (first[0]["idea"]["text"], first[2]["idea"]["text"])
    known = {first[2]["candidate_id"]: planning.Draw(Idea("drawn before", tag=TAG), MutationTarget.NETWORK)}
    again = planning.draw_wave(state(slots), SearchSettings(), 1, Ideas(), own=own, known=known)
    assert (again[2]["idea"]["text"], again[2]["target"]) == ("drawn before", "network")


def test_a_person_sees_every_candidate_but_the_base():
    (base,) = planning.draw_wave(state(planning.base_slots(), Stage.BASE), SearchSettings(), 0, Ideas(), review=True)
    slots = planning.initial_slots(History([BASE]), SearchSettings(initial=1))
    (drawn,) = planning.draw_wave(state(slots, Stage.INITIAL), SearchSettings(), 0, Ideas(), review=True)
    assert (base["review"], drawn["review"]) == (False, True)
