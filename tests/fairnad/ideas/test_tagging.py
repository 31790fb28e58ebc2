"""What a model names is looked up in the tree, or mended to the nearest, or nothing."""

from __future__ import annotations

import pytest

from fairnad.ideas.attribute_tree import AttributeTree, Category, Granularity, Tag, Target
from fairnad.ideas.tagging import find_tag

ACTIVATION = Category(Target.PERFORMANCE, Granularity.OPERATION, "activation")
DENSE = Category(Target.EFFICIENCY, Granularity.BLOCK, "dense connectivity for feature reuse")
SAME = Category(Target.EFFICIENCY, Granularity.OPERATION, "activation")
TREE = AttributeTree({ACTIVATION: ("gelu", "relu"), DENSE: (), SAME: ("relu",)})
GELU = Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation", "gelu")


@pytest.mark.parametrize(
    "path",
    [
        "performance / operation / activation / gelu",
        "performance*operation level*activation*gelu",
        "Performance > Operation level > Activation > GELU",
        "**performance** / operation / activation / `gelu`",
    ],
)
def test_a_tag_of_the_tree_is_found_in_any_notation(path: str) -> None:
    found = find_tag(path, TREE)
    assert found is not None
    assert (found.tag, found.exact) == (GELU, True)


@pytest.mark.parametrize(
    ("path", "tag"),
    [
        ("efficiency / network / activations / gelu", None),
        ("performance / network / activation / gelu", GELU),
        ("performance / operation / activaton / geluu", GELU),
        ("performance / operation / nonsense / gelu", GELU),
        ("activation / gelu", GELU),
        ("performance / operation / activation / mish", Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation")),
        (
            "efficiency / operation / activation / relu6",
            Tag(Target.EFFICIENCY, Granularity.OPERATION, "activation", "relu"),
        ),
    ],
)
def test_what_is_wrong_is_mended_to_the_nearest(path: str, tag: Tag | None) -> None:
    found = find_tag(path, TREE)
    assert found is not None
    assert not found.exact
    assert found.tag in TREE
    if tag is not None:
        assert found.tag == tag


@pytest.mark.parametrize("path", ["", " / / ", "loss / training / focal loss / gamma", "no"])
def test_what_is_near_nothing_is_no_tag(path: str) -> None:
    assert find_tag(path, TREE) is None


def test_a_category_without_sub_categories_has_an_empty_one() -> None:
    found = find_tag("efficiency / block and connectivity / dense connectivity for feature reuse", TREE)
    assert found is not None
    assert (found.tag.sub, found.exact) == ("", True)
