"""How even a spread is, and what a search made of each category."""

from __future__ import annotations

import pytest

from fairnad.ideas.attribute_tree import AttributeTree, Category, Granularity, Tag, Target
from fairnad.ideas.idea import Idea
from fairnad.search.imbalance import counts, imbalance, path_text
from fairnad.search.sampling import Fairness

ACTIVATION = Category(Target.PERFORMANCE, Granularity.OPERATION, "activation")
SCALING = Category(Target.EFFICIENCY, Granularity.NETWORK, "network-wise scaling")
TREE = AttributeTree({ACTIVATION: ("gelu", "relu"), SCALING: ()})
GELU = Tag(ACTIVATION.target, ACTIVATION.granularity, ACTIVATION.main, "gelu")


def test_empty_categories_are_counted_with_zero() -> None:
    found = counts([Idea("Use GELU everywhere", tag=GELU)], TREE, Fairness.SUB)
    assert list(found.values()) == [1, 0, 0]


@pytest.mark.parametrize(("numbers", "entropy", "share"), [((5, 5), 1.0, 0.5), ((10, 0), 0.0, 1.0), ((0, 0), 0.0, 0.0)])
def test_evenness_is_one_for_an_even_spread_and_zero_for_one_category(
    numbers: tuple[int, int], entropy: float, share: float
) -> None:
    spread = imbalance({("a",): numbers[0], ("b",): numbers[1]})
    assert (spread.entropy, spread.largest_share) == (pytest.approx(entropy), share)
    assert spread.num_categories == 2


def test_a_path_is_told_without_empty_parts() -> None:
    assert (
        path_text(("efficiency", "network", "network-wise scaling", ""))
        == "efficiency / network / network-wise scaling"
    )
    assert path_text(()) == "all"
