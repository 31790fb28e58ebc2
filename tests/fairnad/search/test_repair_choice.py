"""Repair or resample: what a model's own history says of it."""

from collections.abc import Callable

import numpy as np
import pytest

from fairnad.records.candidate import Call, FailureKind
from fairnad.records.draw_decisions import DrawDecisions
from fairnad.records.history import History, Record, Repair
from fairnad.search.chooser import Belief
from fairnad.search.repair_choice import FRESH_COST, REPAIRABLE, kinds_to_resample, learn_fresh_draws, learn_repairs

Build = Callable[..., Record]
MUTATION = Call("mutation", "m", 100, 50, 1.0, ok=True)
DEBUG = Call("debug", "m", 100, 50, 1.0, ok=True)


@pytest.fixture
def draws(trained: Build, failed: Build) -> Callable[..., History]:
    """A history of so many draws that were valid at once, mended, and not mended."""

    def build(
        fresh: int, mended: int, broken: int, *, kind: FailureKind = FailureKind.SHAPE, model: str = ""
    ) -> History:
        records = []
        for number in range(fresh + mended + broken):
            name = f"g01-fair-r1-s{number:02d}-d0"
            repairs = (Repair(kind, 1, number < fresh + mended, num_calls=1),) if number >= fresh else ()
            calls = (MUTATION, *[DEBUG] * len(repairs))
            make = trained if number < fresh + mended else failed
            records.append(make(name, calls=calls, repairs=repairs, choices=DrawDecisions(model=model)))
        return History(records)

    return build


def decided(history: History, model: str = "", seed: int = 1) -> tuple[str, ...]:
    return kinds_to_resample(history, model, np.random.default_rng(seed))


def test_a_model_whose_repairs_bring_nothing_is_asked_for_fresh_draws(draws):
    assert set(decided(draws(fresh=6, mended=0, broken=8))) == set(map(str, REPAIRABLE))


def test_a_model_whose_repairs_work_goes_on_repairing(draws):
    assert decided(draws(fresh=12, mended=6, broken=2)) == ()


def test_where_nothing_is_known_everything_is_repaired(draws):
    assert decided(History()) == ()
    assert decided(draws(fresh=9, mended=0, broken=3)) == (), "three calls are too few"


def test_a_kind_that_is_mended_is_repaired_though_another_is_not(draws):
    mended = draws(fresh=10, mended=5, broken=0, kind=FailureKind.IMPORT).records
    broken = draws(fresh=0, mended=0, broken=20, kind=FailureKind.MEMORY).records
    others = [
        Record(f"g02-fair-r1-s{i:02d}-d0", "", r.idea, "", failure=r.failure, calls=r.calls, repairs=r.repairs)
        for i, r in enumerate(broken)
    ]
    kinds = decided(History([*mended, *others]))
    assert "memory" in kinds
    assert "import" not in kinds


def test_models_are_judged_by_their_own_candidates(draws):
    weak, strong = draws(6, 0, 8, model="weak"), draws(6, 8, 0, model="strong")
    both = History([*weak.records, *(r for r in strong.before((9,)).records)])
    assert decided(History([r for r in both.records if r.choices.model == "weak"]), "weak")
    assert decided(strong, "weak") == ()


def test_some_draws_still_repair_what_was_never_tried(draws):
    history = draws(fresh=6, mended=0, broken=8)
    explored = sum("memory" not in decided(history, seed=seed) for seed in range(200))
    assert 4 <= explored <= 60


def test_the_same_history_and_numbers_give_the_same_choice(draws):
    history = draws(fresh=6, mended=0, broken=8)
    assert [decided(history, seed=s) for s in range(20)] == [decided(history, seed=s) for s in range(20)]


def test_successes_are_counted_per_call(draws, trained):
    prior = Belief.prior(0.5)
    history = draws(fresh=6, mended=2, broken=4)
    assert learn_fresh_draws(history.drawn) == Belief(1 + 6, 2 + 12, FRESH_COST * 14)
    shape = learn_repairs(history.drawn, prior, FailureKind.SHAPE)
    assert learn_repairs(history.drawn, prior) == shape == prior.after(2, 6, 6)
    assert learn_repairs(history.drawn, prior, FailureKind.MEMORY) == prior
    free = trained(calls=(MUTATION,), repairs=(Repair(FailureKind.IMPORT, 1, mended=True),))
    assert learn_fresh_draws([free]).num_successes == 2, "a known repair costs no call"
    assert learn_repairs([free], prior) == prior
