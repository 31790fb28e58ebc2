"""Thompson sampling over success per cost."""

from collections import Counter

import numpy as np
import pytest

from fairnad.search.chooser import Belief, choose

PRIOR = Belief.prior(0.5)


def chosen(beliefs: dict[str, Belief]) -> Counter[str]:
    return Counter(choose(beliefs, np.random.default_rng(seed)) for seed in range(200))


@pytest.mark.parametrize(
    ("better", "worse"),
    [(PRIOR.after(30, 40, 40), PRIOR.after(10, 40, 40)), (PRIOR.after(20, 40, 40), PRIOR.after(20, 40, 160))],
    ids=["more successes", "lower cost"],
)
def test_the_option_with_more_success_per_cost_is_chosen(better: Belief, worse: Belief) -> None:
    assert chosen({"worse": worse, "better": better})["better"] > 190


def test_an_option_that_was_hardly_tried_is_still_tried() -> None:
    assert 20 < chosen({"known": PRIOR.after(20, 40, 40), "new": PRIOR})["new"] < 180


def test_a_prior_is_worth_a_few_trials() -> None:
    belief = Belief.prior(0.25, cost_per_trial=100, num_trials=4)
    assert (belief.num_successes, belief.num_trials, belief.cost) == (1.0, 4.0, 400.0)
    assert belief.after(3, 4, 0).success_rate == 0.5


def test_the_same_numbers_give_the_same_choice() -> None:
    beliefs = {"a": PRIOR, "b": PRIOR.after(1, 3, 3)}
    assert chosen(beliefs) == chosen(beliefs)


def test_without_options_there_is_no_choice() -> None:
    with pytest.raises(ValueError, match="empty"):
        choose({}, np.random.default_rng(0))
