"""Pinned and banned categories, and a person's own ideas beside those of the store."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fairnad.ideas.attribute_tree import AttributeTree, Category, Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.search.idea_selection import IdeaSelection, find_categories
from fairnad.search.sampling import Fairness, fairness_key

PERFORMANCE, EFFICIENCY = Target.PERFORMANCE, Target.EFFICIENCY
OPERATION, BLOCK = Granularity.OPERATION, Granularity.BLOCK
TREE = AttributeTree(
    {
        Category(PERFORMANCE, OPERATION, "activation"): ("gelu", "relu"),
        Category(PERFORMANCE, BLOCK, "feature fusion"): (),
        Category(EFFICIENCY, OPERATION, "activation"): (),
    }
)
ACTIVATION = ("performance", "operation", "activation")
FUSION = ("performance", "block and connectivity", "feature fusion")


class Store:
    """Ideas in memory."""

    def __init__(self, ideas: list[Idea]) -> None:
        self.ideas = ideas

    def counts(self, fairness: Fairness) -> Counter[tuple[str, ...]]:
        return Counter(fairness_key(idea.tag, fairness) for idea in self.ideas if idea.tag)

    def draw(self, fairness: Fairness, key: tuple[str, ...], generator: np.random.Generator) -> Idea:
        fitting = [idea for idea in self.ideas if idea.tag and fairness_key(idea.tag, fairness) == key]
        return fitting[int(generator.integers(len(fitting)))]


def idea(text: str, main: str = "activation", sub: str = "", target: Target = PERFORMANCE) -> Idea:
    return Idea(text, tag=Tag(target, BLOCK if main == "feature fusion" else OPERATION, main, sub))


STORE = Store(
    [
        *(idea(f"gelu {number}", sub="gelu") for number in range(6)),
        *(idea(f"relu {number}", sub="relu") for number in range(2)),
        idea("fuse", "feature fusion"),
        idea("cheap", target=EFFICIENCY),
    ]
)


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("feature fusion", (FUSION,)),
        (" Feature  Fusion ", (FUSION,)),
        ("activation", (ACTIVATION, ("efficiency", "operation", "activation"))),
        ("performance/operation/activation", (ACTIVATION,)),
        ("performance / operation / activation / GELU", ((*ACTIVATION, "gelu"),)),
    ],
)
def test_a_category_is_found_by_its_name_or_its_path(name, paths):
    assert find_categories(name, TREE) == paths


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("activaton", "there is no category 'activaton'; did you mean 'activation'?"),
        ("performance/operation/activation/gellu", "did you mean 'performance / operation / activation / gelu'?"),
        ("zzz", "there are activation, feature fusion"),
        ("", "there are activation, feature fusion"),
    ],
)
def test_an_unknown_category_is_told_with_the_nearest(name, advice):
    with pytest.raises(LookupError) as caught:
        find_categories(name, TREE)
    assert advice in caught.value.args[0]


@pytest.mark.parametrize("fairness", Fairness)
def test_with_nothing_left_out_it_draws_what_the_store_draws(fairness):
    selection = IdeaSelection(STORE)
    assert selection.counts(fairness) == STORE.counts(fairness)
    for key in STORE.counts(fairness):
        one, two = np.random.default_rng(3), np.random.default_rng(3)
        assert selection.draw(fairness, key, one) == STORE.draw(fairness, key, two)


def test_pinned_categories_alone_are_drawn_and_banned_ones_never():
    pinned = IdeaSelection(STORE, pinned=[ACTIVATION, FUSION], banned=[(*ACTIVATION, "gelu")])
    assert pinned.counts(Fairness.MAIN) == {ACTIVATION: 2, FUSION: 1}
    assert pinned.counts(Fairness.NONE) == {(): 3}
    generator = np.random.default_rng(0)
    drawn = {pinned.draw(Fairness.NONE, (), generator).text for _ in range(60)}
    assert drawn == {"relu 0", "relu 1", "fuse"}
    assert pinned.allows(idea("new", sub="relu"))
    assert not pinned.allows(idea("new", sub="gelu"))
    assert not pinned.allows(idea("new", target=EFFICIENCY))


def test_own_ideas_are_drawn_as_often_as_others_of_their_key():
    own = [idea("mine", sub="gelu"), idea("mine too", "feature fusion")]
    selection = IdeaSelection(STORE, own=own)
    assert selection.counts(Fairness.MAIN)[ACTIVATION] == 9
    generator = np.random.default_rng(0)
    drawn = Counter(selection.draw(Fairness.MAIN, ACTIVATION, generator).text for _ in range(1800))
    assert len(drawn) == 9
    assert all(abs(count - 200) < 60 for count in drawn.values())


def test_a_key_without_ideas_cannot_be_drawn_and_own_ideas_need_a_tag():
    with pytest.raises(ValueError, match="nothing to draw from"):
        IdeaSelection(STORE, banned=[FUSION]).draw(Fairness.MAIN, FUSION, np.random.default_rng(0))
    with pytest.raises(ValueError, match="with a tag"):
        IdeaSelection(STORE, own=[Idea("", IdeaKind.MUTATED)])
