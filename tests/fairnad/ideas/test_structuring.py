"""From what structurers find to one tree: everything that is cleaned up is reported with its reason."""

from __future__ import annotations

import pytest

from fairnad.ideas.attribute_tree import AttributeTemplate, Category, CategoryNote, Granularity, Target
from fairnad.ideas.knowledge import Attribute, Findings
from fairnad.ideas.structuring import ChangeKind, Structuring, merge_findings, normalized

ACTIVATION = Category(Target.PERFORMANCE, Granularity.OPERATION, "activation")
NORMALIZATION = Category(Target.PERFORMANCE, Granularity.OPERATION, "normalization")
CONVOLUTION = Category(Target.EFFICIENCY, Granularity.OPERATION, "efficient convolution")
BLOCKS = Category(Target.EFFICIENCY, Granularity.BLOCK, "efficient block structures")
TEMPLATE = AttributeTemplate(
    dict.fromkeys((ACTIVATION, NORMALIZATION, CONVOLUTION, BLOCKS), CategoryNote("about", ("example",)))
)


def found(model: str, *attributes: tuple[Category, str]) -> Findings:
    return Findings(model, tuple(Attribute(str(c.target), str(c.granularity), c.main, name) for c, name in attributes))


def kinds(result: Structuring, name: str) -> list[ChangeKind]:
    return [change.kind for change in result.changes if change.name == name]


def test_sub_categories_are_those_that_were_found_most_supported_first() -> None:
    result = merge_findings(
        TEMPLATE, [found("A", (ACTIVATION, "gelu"), (ACTIVATION, "relu")), found("B", (ACTIVATION, "relu"))]
    )
    assert result.tree.categories[ACTIVATION] == ("relu", "gelu")
    assert list(result.tree.categories) == list(TEMPLATE.notes), "in the order of the template"
    assert result.support[f"{ACTIVATION} / relu"] == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("batch normalization", "Batch Normalizations"),
        ("batch normalization", "batch-normalization"),
        ("batch normalization", "batch norm"),
        ("depthwise convolution", "depthwise conv"),
    ],
)
def test_spellings_of_one_name_are_joined(one: str, other: str) -> None:
    assert normalized(one) == normalized(other)
    result = merge_findings(
        TEMPLATE,
        [found("A", (NORMALIZATION, one)), found("B", (NORMALIZATION, one)), found("C", (NORMALIZATION, other))],
    )
    assert result.tree.categories[NORMALIZATION] == (one,)
    assert result.support[f"{NORMALIZATION} / {one}"] == 3
    assert kinds(result, other.lower()) == [ChangeKind.SPELLING]


def test_names_that_differ_in_kind_stay_apart() -> None:
    result = merge_findings(TEMPLATE, [found("A", (ACTIVATION, "relu"), (ACTIVATION, "relu6"), (ACTIVATION, "gelu"))])
    assert set(result.tree.categories[ACTIVATION]) == {"relu", "relu6", "gelu"}


def test_near_duplicates_are_joined_under_the_more_common_name() -> None:
    result = merge_findings(
        TEMPLATE,
        [
            found("A", (BLOCKS, "inverted residual block")),
            found("B", (BLOCKS, "inverted residual block")),
            found("C", (BLOCKS, "inverted residuals block")),
            found("D", (BLOCKS, "invertd residual block")),
        ],
    )
    assert result.tree.categories[BLOCKS] == ("inverted residual block",)
    assert kinds(result, "invertd residual block") == [ChangeKind.JOINED]


@pytest.mark.parametrize("name", ["*gelu*", "1. gelu", "- GELU (activation)", "`gelu`", "**GELU** [0]"])
def test_stray_marks_are_taken_off_and_reported(name: str) -> None:
    result = merge_findings(TEMPLATE, [found("A", (ACTIVATION, name))])
    assert result.tree.categories[ACTIVATION] == ("gelu",)
    assert ChangeKind.MARKS in kinds(result, name.strip())


def test_a_main_category_is_no_sub_category() -> None:
    result = merge_findings(TEMPLATE, [found("A", (ACTIVATION, "Normalization"), (ACTIVATION, "gelu"))])
    assert result.tree.categories[ACTIVATION] == ("gelu",)
    assert kinds(result, "normalization") == [ChangeKind.MAIN_CATEGORY]


def test_an_attribute_in_two_categories_is_kept_where_most_models_have_it() -> None:
    findings = [
        found("A", (CONVOLUTION, "grouped convolution")),
        found("B", (CONVOLUTION, "grouped convolution")),
        found("C", (BLOCKS, "grouped convolution")),
    ]
    result = merge_findings(TEMPLATE, findings)
    assert result.tree.categories[CONVOLUTION] == ("grouped convolution",)
    assert result.tree.categories[BLOCKS] == ()
    (change,) = [change for change in result.changes if change.kind is ChangeKind.SEVERAL_CATEGORIES]
    assert (change.category, change.models) == (str(BLOCKS), ("C",))
    assert "2 to 1 models" in change.detail


def test_a_tie_between_categories_goes_to_the_emptier_one() -> None:
    findings = [
        found("A", (CONVOLUTION, "stochastic depth"), (CONVOLUTION, "depthwise convolution")),
        found("B", (BLOCKS, "stochastic depth")),
    ]
    assert merge_findings(TEMPLATE, findings).tree.categories[BLOCKS] == ("stochastic depth",)


@pytest.mark.parametrize(("min_models", "kept"), [(1, ("relu", "odd")), (2, ("relu",))])
def test_attributes_of_one_model_are_kept_or_dropped_by_setting_and_reported(min_models: int, kept: tuple[str]) -> None:
    findings = [found("A", (ACTIVATION, "relu"), (ACTIVATION, "odd")), found("B", (ACTIVATION, "relu"))]
    result = merge_findings(TEMPLATE, findings, min_models=min_models)
    assert result.tree.categories[ACTIVATION] == kept
    expected = ChangeKind.ONE_MODEL_KEPT if min_models == 1 else ChangeKind.ONE_MODEL_DROPPED
    assert kinds(result, "odd") == [expected]


def test_invented_categories_are_dropped_and_misspelt_ones_understood() -> None:
    findings = Findings(
        "A",
        (
            Attribute("performance", "operation", "loss functions", "focal loss"),
            Attribute("Performance", "Operation level", "*activations*", "gelu"),
        ),
    )
    result = merge_findings(TEMPLATE, [findings])
    assert result.tree.categories[ACTIVATION] == ("gelu",)
    assert kinds(result, "focal loss") == [ChangeKind.INVENTED]
    assert ChangeKind.CATEGORY_NAME in kinds(result, "gelu")


def test_empty_categories_are_reported() -> None:
    result = merge_findings(TEMPLATE, [found("A", (ACTIVATION, "gelu"))])
    empty = [change.category for change in result.changes if change.kind is ChangeKind.EMPTY]
    assert empty == [str(NORMALIZATION), str(CONVOLUTION), str(BLOCKS)]
