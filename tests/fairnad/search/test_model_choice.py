"""Which of several models designs a candidate."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.records.candidate import Call, CandidateId, Evaluation, Failure, FailureKind, Stage, Step
from fairnad.records.draw_decisions import DrawDecisions
from fairnad.records.history import History, Record
from fairnad.search.model_choice import choose_model, order_of_names
from fairnad.settings.model_entries import ModelEntry, decisive

IDEA = Idea("widen it", IdeaKind.MUTATED)
BASE_ID = str(CandidateId(0, Stage.BASE, 1, 0, 0))


def entry(model: str, **more: Any) -> ModelEntry:
    return ModelEntry(model=model, **more)


def evaluation(accuracy: float) -> Evaluation:
    return Evaluation(accuracy=accuracy, costs={}, fingerprint=str(accuracy), recipe_digest="r", seconds=1.0)


def base() -> Record:
    return Record(BASE_ID, "", IDEA, "", evaluation(0.5))


def drawn(place: CandidateId, model: str, accuracy: float | None, tokens: int = 1000) -> Record:
    failure = None if accuracy is not None else Failure(Step.MUTATE, FailureKind.REPLY, "no")
    found = None if accuracy is None else evaluation(accuracy)
    call = Call("mutation", model, tokens, tokens, 1.0, True)
    return Record(str(place), BASE_ID, IDEA, "", found, failure, calls=(call,), choices=DrawDecisions(model=model))


Outcome = Callable[[str, np.random.Generator], float | None]


def search(entries: tuple[ModelEntry, ...], outcome: Outcome, num_waves: int = 60, slots: int = 4) -> list[Record]:
    """The records of a search whose candidates of one wave are all chosen from the waves before."""
    records = [base()]
    generator = np.random.default_rng(0)
    for wave in range(1, num_waves + 1):
        history = History(records)
        for slot in range(slots):
            place = CandidateId(wave, Stage.FAIR, 1, slot, 0)
            model = choose_model(entries, history, place, 0, "bandit")
            records.append(drawn(place, model, outcome(model, generator)))
    return records[1:]


def shares(records: list[Record]) -> Counter[str]:
    return Counter(record.choices.model for record in records)


def better_is_b(model: str, generator: np.random.Generator) -> float | None:
    """Model b gives a valid candidate twice as often, and gains twice as much by it."""
    rate, gain = {"a": (0.3, 0.03), "b": (0.6, 0.06)}[model]
    return 0.5 + gain * float(generator.random()) if generator.random() < rate else None


def alike(model: str, generator: np.random.Generator) -> float | None:
    return 0.5 + 0.04 * float(generator.random()) if generator.random() < 0.5 else None


def test_the_better_model_is_found_and_the_other_still_tried() -> None:
    found = shares(search((entry("a"), entry("b")), better_is_b))
    assert found["b"] > 2.5 * found["a"]
    assert found["a"] >= 5


def test_of_two_alike_the_cheaper_one_is_asked_more() -> None:
    dear = entry("a", price_input=3.0, price_output=15.0)
    cheap = entry("b", price_input=0.3, price_output=1.5)
    found = shares(search((dear, cheap), alike))
    assert found["b"] > 3 * found["a"]
    assert shares(search((entry("a"), entry("b")), alike))["a"] > 40, "without prices they are alike"


def test_a_much_better_model_is_worth_a_somewhat_higher_price() -> None:
    entries = (entry("a", price_output=1.0), entry("b", price_output=1.5))
    found = shares(search(entries, better_is_b))
    assert found["b"] > found["a"]


def test_a_free_model_that_never_gains_anything_is_left() -> None:
    def outcome(model: str, generator: np.random.Generator) -> float | None:
        return None if model == "a" else alike(model, generator)

    found = shares(search((entry("a"), entry("b", price_output=1.0)), outcome, num_waves=100))
    assert found["b"] > 100


def test_every_model_is_tried_soon() -> None:
    found = shares(search(tuple(entry(name) for name in "abcd"), alike, num_waves=10))
    assert min(found[name] for name in "abcd") >= 2


def test_while_nobody_gains_anything_all_are_asked_alike() -> None:
    found = shares(search((entry("a"), entry("b")), lambda model, generator: None, num_waves=20))
    assert abs(found["a"] - found["b"]) < 30


@pytest.mark.parametrize("choice", ["weights", "bandit"])
def test_the_choice_repeats_from_the_same_history_whatever_came_later(choice: Any) -> None:
    entries = (entry("a"), entry("b", weight=2.0))
    records = search(entries, better_is_b, num_waves=20)
    for record in records:
        before = History([base(), *records]).before((record.place.generation,))
        assert choose_model(entries, before, record.place, 0, choice) == choose_model(
            entries, History([*reversed(before.records)]), record.place, 0, choice
        )
        if choice == "bandit":
            assert choose_model(entries, before, record.place, 0, choice) == record.choices.model


def test_weights_are_shares_and_depend_on_the_seed() -> None:
    entries = (entry("a", weight=3.0), entry("b"))
    places = [CandidateId(1, Stage.FAIR, 1, slot, 0) for slot in range(400)]
    one, two = ([choose_model(entries, History(), place, seed, "weights") for place in places] for seed in (0, 1))
    assert 270 < Counter(one)["a"] < 330
    assert one != two


def test_who_stood_in_earns_the_reward() -> None:
    """Model a was chosen each time, and b answered for it."""
    entries = (entry("a"), entry("b"))
    records = [base()]
    for slot in range(6):
        one = drawn(CandidateId(1, Stage.FAIR, 1, slot, 0), "b", 0.6)
        records.append(Record(**{**{f: getattr(one, f) for f in one.__slots__}, "choices": DrawDecisions(model="a")}))
    places = [CandidateId(2, Stage.FAIR, 1, slot, 0) for slot in range(100)]
    assert Counter(choose_model(entries, History(records), one, 0, "bandit") for one in places)["b"] > 80


def test_only_models_that_may_design_are_chosen() -> None:
    entries = (entry("judge", roles=("structural_judge",)), entry("all"))
    place = CandidateId(1, Stage.FAIR, 1, 0, 0)
    assert {choose_model(entries, History(), place, seed, "weights") for seed in range(20)} == {"all"}
    entries = (entry("chains", roles=("idea_mutator",)), entry("all"))
    refining = CandidateId(1, Stage.REFINE, 1, 0, 0)
    assert choose_model(entries, History(), refining, 0, "bandit") == "chains"
    assert choose_model((), History(), place, 0, "bandit") == ""


def test_the_order_begins_with_the_own_model_then_the_chosen_then_the_heaviest() -> None:
    entries = (entry("light"), entry("heavy", weight=5.0), entry("mid", weight=2.0), entry("own", roles=("debugger",)))
    assert order_of_names(entries, "mutator", "light", [0]) == ["light", "heavy", "mid"]
    assert order_of_names(entries, "debugger", "light", [0]) == ["own", "heavy", "mid", "light"]
    assert order_of_names(entries[3:], "mutator", "", [0]) == ["own"], "better it than nobody"


def test_what_may_not_change_within_a_run_is_told_once_a_name() -> None:
    one, two = entry("m", base_url="http://a/v1"), entry("m", base_url="http://b/v1", concurrency=2, price_input=3.0)
    assert decisive([one, two]) == decisive([one])
    assert decisive([one]) != decisive([entry("m", temperature=0.1)])
    assert decisive([entry("m", name="x")]) != decisive([one])
