import pytest

from fairnad.search.finals import Finalist, Finals, PairedDifference, winner_of

ONE = Finalist("one", {1: 0.6, 2: 0.8})
OTHER = Finalist("other", {1: 0.75, 2: 0.7})
BASE = Finalist("base", {1: 0.5, 2: 0.5})


def test_the_highest_mean_on_validation_wins_not_the_highest_value():
    assert winner_of([ONE, OTHER, BASE], "base") is OTHER


def test_what_is_held_out_decides_nothing():
    lucky = Finalist("lucky", {1: 0.6, 2: 0.8}, {1: 1.0, 2: 1.0})
    assert winner_of([lucky, OTHER, BASE], "base") is OTHER


def test_of_equal_means_the_base_wins_else_the_first():
    equal = Finalist("equal", {1: 0.25, 2: 0.75})
    assert winner_of([equal, BASE], "base") is BASE
    assert winner_of([equal, Finalist("other", {1: 0.5, 2: 0.5}), Finalist("base", {1: 0.1, 2: 0.1})], "base") is equal
    assert winner_of([Finalist("better", {1: 0.51, 2: 0.5}), BASE], "base").candidate_id == "better"


def test_failures_are_not_left_out_of_a_mean_that_wins():
    assert winner_of([Finalist("brittle", {2: 0.99}), BASE], "base") is BASE
    assert winner_of([Finalist("brittle", {2: 0.99}), Finalist("base", {1: 0.5})], "base").candidate_id == "brittle"


def test_nobody_wins_where_nobody_trained():
    assert winner_of([], "base") is None
    assert winner_of([Finalist("one", {}), Finalist("base", {})], "base") is None


def test_the_best_seed_is_the_highest_on_validation_and_the_lowest_of_equals():
    winner = Finalist("one", {5: 0.7, 4: 0.7, 6: 0.6})
    assert Finals(0, "quick", "digest", "base", "one", (winner, BASE)).best_seed == 4


def test_finals_know_who_took_part():
    finals = Finals(0, "quick", "digest", "base", "other", (ONE, OTHER, BASE))
    assert finals.winner is OTHER and finals.base is BASE
    assert "one" in finals and "two" not in finals
    with pytest.raises(LookupError, match="two took no part in the finals"):
        finals["two"]
    with pytest.raises(LookupError, match="two took no part in the finals"):
        Finals(0, "quick", "digest", "base", "two", (ONE, BASE))


def test_a_paired_difference_with_its_t_interval():
    found = PairedDifference.of([0.01, 0.03, 0.02])
    assert found.mean == pytest.approx(0.02)
    assert found.deviation == pytest.approx(0.01)
    half = 4.302653 * 0.01 / 3**0.5  # the 97.5% quantile of Student's t with two degrees of freedom
    assert (found.low, found.high) == (pytest.approx(0.02 - half), pytest.approx(0.02 + half))
    assert not found.exceeds_noise
    assert PairedDifference.of([0.019, 0.021, 0.02]).exceeds_noise
    assert not PairedDifference.of([-0.019, -0.021, -0.02]).exceeds_noise


def test_one_pair_says_nothing_about_the_noise():
    found = PairedDifference.of([0.5])
    assert (found.mean, found.n, found.deviation, found.low, found.high) == (0.5, 1, None, None, None)
    assert not found.exceeds_noise


def test_winner_and_base_are_compared_on_held_out_images_over_the_seeds_both_have():
    winner = Finalist("one", {1: 0.6, 2: 0.8, 3: 0.7}, {1: 0.5, 2: 0.6, 3: 0.9})
    base = Finalist("base", {1: 0.5, 3: 0.6}, {1: 0.4, 3: 0.6})
    images, difference = Finals(0, "quick", "digest", "base", "one", (winner, base)).comparison
    assert (images, difference.n) == ("held out", 2)
    assert difference.mean == pytest.approx(0.2)


def test_where_held_out_images_stay_closed_validation_is_compared():
    images, difference = Finals(0, "quick", "digest", "base", "other", (ONE, OTHER, BASE)).comparison
    assert (images, difference.n) == ("validation", 2)
    assert difference.mean == pytest.approx(0.225)


def test_a_base_that_won_is_compared_with_nothing():
    assert Finals(0, "quick", "digest", "base", "base", (ONE, BASE)).comparison is None


def test_a_base_that_was_widened_is_called_the_control():
    assert Finals(0, "quick", "digest", "base", "one", (ONE, BASE)).base_title == "base"
    assert Finals(0, "quick", "digest", "base", "one", (ONE, BASE), control_id="base").base_title == "control"
