from __future__ import annotations

import pytest

from fairnad.ideas.attribute_tree import AttributeTree, Category, Granularity, Tag, Target

ATTENTION = Category(Target.PERFORMANCE, Granularity.OPERATION, "feature extraction")
FUSION = Category(Target.PERFORMANCE, Granularity.BLOCK, "feature fusion")
TRANSFORMER = Category(Target.EFFICIENCY, Granularity.OPERATION, "efficient transformers")
TREE = AttributeTree({FUSION: (), ATTENTION: ("attention", "convolution"), TRANSFORMER: ("attention",)})


def tag(category: Category, sub: str = "") -> Tag:
    return Tag(category.target, category.granularity, category.main, sub)


def test_every_whole_path_is_listed_once_in_the_order_of_the_tree() -> None:
    assert list(TREE.tags()) == [
        tag(FUSION),
        tag(ATTENTION, "attention"),
        tag(ATTENTION, "convolution"),
        tag(TRANSFORMER, "attention"),
    ]


@pytest.mark.parametrize("inside", [tag(FUSION), tag(ATTENTION), tag(ATTENTION, "attention")])
def test_a_path_of_the_tree_is_in_it_with_or_without_its_last_level(inside: Tag) -> None:
    assert inside in TREE


@pytest.mark.parametrize(
    "outside",
    [
        tag(FUSION, "attention"),
        tag(TRANSFORMER, "convolution"),
        Tag(Target.EFFICIENCY, Granularity.OPERATION, "feature extraction"),
        Tag(Target.PERFORMANCE, Granularity.NETWORK, "feature extraction", "attention"),
        str(tag(FUSION)),
    ],
)
def test_a_name_from_elsewhere_in_the_tree_does_not_make_a_path(outside: object) -> None:
    assert outside not in TREE


def test_the_outline_shows_one_target_by_granularity() -> None:
    assert TREE.outline(Target.PERFORMANCE) == {
        "block and connectivity": {"feature fusion": []},
        "operation": {"feature extraction": ["attention", "convolution"]},
    }
    assert TREE.outline(Target.EFFICIENCY) == {"operation": {"efficient transformers": ["attention"]}}


def test_a_tag_knows_its_category_and_reads_as_its_path() -> None:
    assert tag(ATTENTION, "attention").category == ATTENTION
    assert str(tag(ATTENTION, "attention")) == "performance / operation / feature extraction / attention"
    assert str(tag(FUSION)) == "performance / block and connectivity / feature fusion"


def test_a_tree_grows_by_tags_it_lacks_and_keeps_its_order() -> None:
    grown = TREE.grown([tag(ATTENTION, "convolution"), tag(FUSION, "sum"), tag(FUSION, "sum"), tag(TRANSFORMER)])
    assert grown == AttributeTree({**TREE.categories, FUSION: ("sum",)})
    stem = Category(Target.PERFORMANCE, Granularity.BLOCK, "stem")
    assert list(TREE.grown([tag(stem, "patches")]).tags()) == [*TREE.tags(), tag(stem, "patches")]
