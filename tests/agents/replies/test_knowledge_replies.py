"""What a language model says about attributes, papers and ideas, however it says it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.replies.knowledge_replies import extract_attributes, extract_category, extract_idea_lines
from fairnad.ideas.knowledge import Attribute

GELU = Attribute("performance", "operation", "activation", "gelu")
SCALING = Attribute("efficiency", "network", "network-wise scaling", "compound scaling")


@pytest.mark.parametrize(
    "text",
    [
        'Here it is: {"performance": {"operation": {"activation": ["gelu"]}}}',
        '```json\n{"Performance": {"Operation": {"*activation*": ["gelu",]}},}\n```',
        '<think>{"performance": {"operation": {"activation": ["relu"]}}}</think>{"performance": {"operation": '
        '{"activation": ["gelu"]}}, "efficiency": {}}',
        '**Performance**\n{"operation": {"activation": ["gelu"]}}\n**Efficiency**\n{"network": {"dynamic": []}}',
        '{"performance": {"operation": {"activation": "gelu"}}}',
    ],
)
def test_attributes_are_read_from_json(text: str) -> None:
    assert extract_attributes(text) == (GELU,)


def test_two_objects_below_their_targets_are_both_read() -> None:
    text = (
        '**Performance**\n{"operation": {"activation": ["gelu"]}}\n\n'
        '**Efficiency**\n{"network": {"network-wise scaling": ["compound scaling"]}}'
    )
    assert extract_attributes(text) == (GELU, SCALING)


@pytest.mark.parametrize("text", ["", "no idea", "{oops", "[1, 2]", "{}"])
def test_a_reply_without_an_object_holds_nothing(text: str) -> None:
    assert extract_attributes(text) is None


def test_odd_shapes_give_no_attributes_and_no_error() -> None:
    text = '{"performance": [1], "efficiency": {"operation": ["x"], "network": {"a": {"b": 1}, "c": [2, null, " "]}}}'
    assert extract_attributes(text) == ()


@pytest.mark.parametrize(
    ("text", "category"),
    [
        (
            "Yes.\n##response## performance / operation / activation / gelu",
            "performance / operation / activation / gelu",
        ),
        ("##response##performance*operation level*activation*gelu", "performance*operation level*activation*gelu"),
        ("##response## no", ""),
        ("**Response**: No.", ""),
        ("##response##no\n", ""),
        ("first ##response## no, but then\n##response## a / b / c / d", "a / b / c / d"),
        ("I cannot say", None),
        ("##response##", None),
        ("##response## normalization / layer normalization", "normalization / layer normalization"),
    ],
)
def test_the_last_answer_counts(text: str, category: str | None) -> None:
    assert extract_category(text) == category


def test_ideas_are_read_line_by_line() -> None:
    text = "Ideas:\n- **Gate** the channels. | a / b / c / d\n2. Use  two branches |  x\n* Third idea\n\nThat is all."
    assert extract_idea_lines(text) == [
        ("Gate the channels.", "a / b / c / d"),
        ("Use two branches", "x"),
        ("Third idea", ""),
    ]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("##response## yes", "yes"),
        ("##response## **Yes**, by its gate", "Yes**, by its gate"),
        ("##response## no", ""),
        ("##response## perhaps", None),
        ('{"reason": "a gate", "keep": true}', "yes"),
        ('{"reason": "a loss", "keep": false}', ""),
    ],
)
def test_without_the_tree_the_answer_is_yes_or_no(text: str, answer: str | None) -> None:
    assert extract_category(text, is_named=False) == answer


@given(st.text())
def test_no_text_raises(text: str) -> None:
    extract_attributes(text)
    extract_category(text)
    extract_idea_lines(text)
