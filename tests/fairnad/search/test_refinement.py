from __future__ import annotations

from collections.abc import Callable

import pytest

from fairnad.records.history import History, Record
from fairnad.search.refinement import Refinement, find_entry

PARENT, CHILD = "g01-fair-r1-s00-d0", "g01-refine-r1-s00-d0"


@pytest.fixture
def chain(trained: Callable[..., Record]) -> Callable[[float, float], Refinement]:
    """What the chain stands at when a mutation took the accuracy from the first number to the second."""

    def build(before: float, after: float) -> Refinement:
        return find_entry(History([trained(PARENT, before), trained(CHILD, after, parent_id=PARENT)]), CHILD)

    return build


def test_an_improved_candidate_is_edited_further(chain: Callable[[float, float], Refinement]) -> None:
    entry = chain(0.5, 0.625)
    assert entry.improved
    assert entry.edited.candidate_id == CHILD


@pytest.mark.parametrize("after", [0.5, 0.375])
def test_after_an_equal_or_a_worse_candidate_its_parent_is_edited(
    chain: Callable[[float, float], Refinement], after: float
) -> None:
    entry = chain(0.5, after)
    assert not entry.improved
    assert entry.edited.candidate_id == PARENT
    assert entry.current.candidate_id == CHILD


def test_a_chain_that_starts_at_the_base_edits_the_base(trained: Callable[..., Record]) -> None:
    base = trained("g00-base-r1-s00-d0", 0.1)
    entry = find_entry(History([base]), base.candidate_id)
    assert entry == Refinement(base, None)
    assert entry.improved
    assert entry.edited is base


def test_the_base_is_compared_with_like_any_parent(trained: Callable[..., Record]) -> None:
    base = trained("g00-base-r1-s00-d0", 0.6)
    child = trained("g00-initial-r1-s00-d0", 0.5, parent_id=base.candidate_id)
    assert find_entry(History([base, child]), child.candidate_id).edited is base


def test_a_parent_that_was_not_trained_is_nothing_to_compare_with(
    trained: Callable[..., Record], failed: Callable[..., Record]
) -> None:
    child = trained(CHILD, parent_id=PARENT)
    assert find_entry(History([failed(PARENT), child]), CHILD).previous is None


def test_accuracies_under_different_recipes_are_not_compared(trained: Callable[..., Record]) -> None:
    parent = trained(PARENT, recipe_digest="one recipe")
    entry = find_entry(History([parent, trained(CHILD, parent_id=PARENT, recipe_digest="another")]), CHILD)
    with pytest.raises(ValueError, match="different recipes"):
        _ = entry.improved


def test_a_chain_cannot_stand_at_an_unknown_candidate(trained: Callable[..., Record]) -> None:
    with pytest.raises(KeyError, match=CHILD):
        find_entry(History([trained(PARENT)]), CHILD)
