import pytest

from fairnad.finals import Finalist, Finals, winner_of

ONE = Finalist("one", {1: 0.6, 2: 0.8})
OTHER = Finalist("other", {1: 0.75, 2: 0.7})
BASE = Finalist("base", {1: 0.5, 2: 0.5})


def test_the_highest_mean_on_validation_wins_not_the_highest_value():
    assert winner_of([ONE, OTHER, BASE]) is OTHER


def test_what_is_held_out_decides_nothing():
    lucky = Finalist("lucky", {1: 0.6, 2: 0.8}, {1: 1.0, 2: 1.0})
    assert winner_of([lucky, OTHER, BASE]) is OTHER


def test_of_equal_means_the_first_wins_so_that_the_base_must_be_better():
    equal = Finalist("equal", {1: 0.25, 2: 0.75})
    assert winner_of([equal, BASE]) is equal
    assert winner_of([Finalist("worse", {1: 0.49, 2: 0.5}), BASE]) is BASE


def test_failures_are_not_left_out_of_a_mean_that_wins():
    assert winner_of([Finalist("brittle", {2: 0.99}), BASE]) is BASE
    assert winner_of([Finalist("brittle", {2: 0.99}), Finalist("base", {1: 0.5})]).candidate_id == "brittle"


def test_nobody_wins_where_nobody_trained():
    assert winner_of([]) is None
    assert winner_of([Finalist("one", {}), Finalist("base", {})]) is None


def test_the_best_seed_is_the_highest_on_validation_and_the_lowest_of_equals():
    assert Finalist("one", {5: 0.7, 4: 0.7, 6: 0.6}).best_seed == 4
    with pytest.raises(ValueError, match="one did not train with any fresh seed"):
        _ = Finalist("one", {}).best_seed


def test_finals_know_who_took_part():
    finals = Finals(0, "quick", "digest", "base", "other", (ONE, OTHER, BASE))
    assert finals.winner is OTHER and finals.base is BASE
    assert "one" in finals and "two" not in finals
    with pytest.raises(LookupError, match="two took no part in the finals"):
        finals["two"]
    with pytest.raises(LookupError, match="two took no part in the finals"):
        Finals(0, "quick", "digest", "base", "two", (ONE, BASE))
