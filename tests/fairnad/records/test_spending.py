from __future__ import annotations

from collections.abc import Callable

import pytest

from fairnad.records import spending as ledger
from fairnad.records.candidate import Call, Stage
from fairnad.records.history import History, Record
from fairnad.records.prices import Usage

BASE, FIRST, SECOND = "g00-base-r1-s00-d0", "g00-initial-r1-s00-d0", "g01-fair-r1-s00-d0"
MUTATED = Call("mutator", "m", 100, 40, 2.0, ok=True, usd=0.5)
FAILED = Call("debugger", "n", 300, 10, 1.0, ok=False, usd=0.25)


@pytest.fixture
def history(trained: Callable[..., Record]) -> History:
    return History(
        [trained(BASE, 0.5), trained(FIRST, 0.52, calls=(MUTATED, FAILED)), trained(SECOND, 0.54, calls=(MUTATED,))]
    )


def test_calls_are_summed_by_role_model_stage_and_candidate(history: History) -> None:
    assert ledger.total(history) == ledger.Account(3, 1, Usage(500, 90, 1.25), 5.0)
    assert ledger.by_role(history) == {
        "debugger": ledger.Account(1, 1, Usage(300, 10, 0.25), 1.0),
        "mutator": ledger.Account(2, 0, Usage(200, 80, 1.0), 4.0),
    }
    assert {name: account.num_calls for name, account in ledger.by_model(history).items()} == {"m": 2, "n": 1}
    assert {stage: account.num_calls for stage, account in ledger.by_stage(history).items()} == {
        Stage.INITIAL: 2,
        Stage.FAIR: 1,
    }
    assert list(ledger.by_candidate(history)) == [FIRST, SECOND]


def test_what_came_of_it_is_told_for_each_valid_candidate_and_each_point_over_the_base(history: History) -> None:
    gained = ledger.yield_of(history)
    assert (gained.num_valid, gained.tokens_a_valid, gained.usd_a_valid) == (2, 295.0, 0.625)
    assert gained.points == pytest.approx(4.0)
    assert gained.usd_a_point == pytest.approx(0.3125)


def test_what_is_not_defined_is_not_told(trained: Callable[..., Record]) -> None:
    worse = ledger.yield_of(History([trained(BASE, 0.5), trained(FIRST, 0.4, calls=(MUTATED,))]))
    assert (worse.points, worse.usd_a_point, worse.usd_a_valid) == (None, None, 0.5)
    assert ledger.yield_of(History()).tokens_a_valid is None
