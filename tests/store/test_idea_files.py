from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnad.errors import IdeaFileError
from fairnad.ideas.attribute_tree import AttributeTree, Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind, Source
from store.idea_files import add_idea, read_ideas, write_ideas

GOOD: dict[str, Any] = {
    "text": "Replace every ReLU by GELU.",
    "target": "performance",
    "granularity": "operation",
    "main": "activation",
    "sub": "gelu",
    "source": {"title": "GELUs", "year": 2016, "link": "https://arxiv.org/abs/1606.08415", "section": "2"},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ideas.jsonl"


def refusal(path: Path, tree: AttributeTree, *lines: object) -> str:
    """What is said of a file of these lines, without its name."""
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    with pytest.raises(IdeaFileError) as caught:
        read_ideas(path, tree)
    assert str(caught.value).startswith(str(path))
    return str(caught.value).removeprefix(str(path))


def test_an_idea_is_read_with_its_tag_and_source(path: Path, tree: AttributeTree) -> None:
    path.write_text(f"\n{json.dumps(GOOD)}\r\n\n")
    (idea,) = read_ideas(path, tree)
    assert idea.kind is IdeaKind.KNOWLEDGE
    assert idea.tag == Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation", "gelu")
    assert idea.source == Source("GELUs", 2016, "https://arxiv.org/abs/1606.08415", "2")


def test_further_sources_are_read_and_written(path: Path, tree: AttributeTree) -> None:
    path.write_text(json.dumps({**GOOD, "also": [{"title": "Another", "year": 2020}, {}]}))
    (idea,) = read_ideas(path, tree)
    assert idea.also == (Source("Another", 2020), Source())
    write_ideas(path, [idea])
    assert read_ideas(path, tree) == (idea,)


@pytest.mark.parametrize(
    ("also", "message"), [("x", "expected also to be a list"), ([1], "expected source to be an object")]
)
def test_further_sources_that_are_none_are_refused(path: Path, tree: AttributeTree, also: object, message: str) -> None:
    assert message in refusal(path, tree, {**GOOD, "also": also})


def test_sub_category_and_source_may_be_left_out(path: Path, tree: AttributeTree) -> None:
    path.write_text(json.dumps({name: GOOD[name] for name in ("text", "target", "granularity", "main")}))
    (idea,) = read_ideas(path, tree)
    assert idea.tag == Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation")
    assert idea.source == Source()


def test_a_byte_order_mark_is_skipped(path: Path, tree: AttributeTree) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert len(read_ideas(path, tree)) == 1


@given(
    st.lists(
        st.tuples(st.from_regex(r"\S{1,8}( \S{1,8}){0,9}", fullmatch=True), st.text(), st.none() | st.integers()),
        min_size=1,
        unique_by=lambda item: " ".join(item[0].casefold().split()),
    )
)
@settings(max_examples=50, deadline=None)
def test_written_ideas_are_read_as_they_were(
    tree: AttributeTree, tmp_path_factory: pytest.TempPathFactory, texts: list[tuple[str, str, int | None]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.jsonl"
    tag = next(tree.tags())
    ideas = tuple(Idea(text, tag=tag, source=Source(title, year)) for text, title, year in texts)
    write_ideas(path, ideas)
    assert read_ideas(path, tree) == ideas


def test_an_idea_without_a_tag_is_not_written(path: Path) -> None:
    with pytest.raises(ValueError, match=r"only ideas with a tag can be written, found 'Widen it\.'"):
        write_ideas(path, [Idea("Widen it.", IdeaKind.UPSCALE)])
    assert not path.exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{'text'}", ", line 2: expected JSON, found {'text'} (Expecting property name"),
        ("[" * 100_000, ", line 2: expected JSON, found [[[[["),
        ("[1, 2]", ", line 2: expected an object, found [1, 2]"),
        ({**GOOD, "txet": "x"}, ", line 2: unknown field 'txet'; did you mean 'text'?"),
        ({**GOOD, "granularty": "x"}, ", line 2: unknown field 'granularty'; did you mean 'granularity'?"),
        ({**GOOD, "xyz": 1}, ", line 2: unknown field 'xyz'"),
        ({"text": "Widen it.", "main": "x"}, ", line 2: expected a field 'target', found only text, main"),
        ({}, ", line 2: expected a field 'text', found only none"),
        ({**GOOD, "text": 3}, ", line 2: expected text to be text, found 3"),
        ({**GOOD, "text": "half \ud83d"}, ', line 2: expected text to be Unicode text, found "half \\ud83d"'),
        ({**GOOD, "text": "word " * 50}, ", line 2: expected text of 1 to 49 words, found 50"),
        ({**GOOD, "text": " "}, ", line 2: expected text of 1 to 49 words, found 0"),
        (
            {**GOOD, "target": "performence"},
            ", line 2: expected target to be one of performance, efficiency, found 'performence'; "
            "did you mean 'performance'?",
        ),
        (
            {**GOOD, "granularity": "block"},
            ", line 2: expected granularity to be one of operation, block and connectivity, network, found 'block'",
        ),
        (
            {**GOOD, "main": "normalisation"},
            ", line 2: expected main to be one of feature extraction operators, normalization, activation, "
            "found 'normalisation'; did you mean 'normalization'?",
        ),
        (
            {**GOOD, "sub": "GELU"},
            ", line 2: expected sub to be one of silu, gelu, relu, relu6, hardswish, found 'GELU'",
        ),
        ({**GOOD, "source": "a paper"}, ', line 2: expected source to be an object, found "a paper"'),
        ({**GOOD, "source": {"url": ""}}, ", line 2: unknown field 'url'"),
        ({**GOOD, "source": {"year": "2016"}}, ', line 2: expected year to be a number, found "2016"'),
        ({**GOOD, "source": {"year": True}}, ", line 2: expected year to be a number, found true"),
        ({**GOOD, "text": "replace  every RELU by gelu."}, ", line 2: expected a new idea, repeats line 1"),
    ],
)
def test_a_fault_names_its_line_and_what_was_expected(
    path: Path, tree: AttributeTree, line: object, message: str
) -> None:
    assert refusal(path, tree, GOOD, line).startswith(message)


def test_a_tag_is_looked_up_below_its_own_target(path: Path, tree: AttributeTree) -> None:
    message = refusal(path, tree, {**GOOD, "target": "efficiency"})
    assert message == (
        ", line 1: expected main to be one of efficient convolution, efficient transformer, found 'activation'"
    )


def test_a_sub_category_of_a_category_without_any_is_refused(path: Path, tree: AttributeTree) -> None:
    tag = {
        "target": "efficiency",
        "granularity": "block and connectivity",
        "main": "dense connectivity for feature reuse",
    }
    assert refusal(path, tree, {"text": "Reuse.", **tag, "sub": "densenet"}) == (
        ", line 1: expected sub to be one of none, found 'densenet'"
    )


def test_the_same_text_under_another_tag_is_another_idea(path: Path, tree: AttributeTree) -> None:
    path.write_text(f"{json.dumps(GOOD)}\n{json.dumps({**GOOD, 'sub': 'silu'})}")
    assert len(read_ideas(path, tree)) == 2


def test_a_file_without_ideas_is_told(path: Path, tree: AttributeTree) -> None:
    assert refusal(path, tree, "", "  ") == ": expected one idea per line, found none"


def test_what_is_not_utf8_is_told_with_its_line(path: Path, tree: AttributeTree) -> None:
    path.write_bytes(json.dumps(GOOD).encode() + b"\n" + '{"text": "\xe9tage"}'.encode("latin-1"))
    with pytest.raises(IdeaFileError, match=r"ideas.jsonl, line 2: expected UTF-8, found byte 0xe9"):
        read_ideas(path, tree)


def test_a_missing_file_is_told(path: Path, tree: AttributeTree) -> None:
    with pytest.raises(IdeaFileError, match=f"{path}: expected an idea file, found no such file or directory"):
        read_ideas(path, tree)
    with pytest.raises(IdeaFileError, match="expected an idea file, found is a directory"):
        read_ideas(path.parent, tree)


def test_ideas_are_added_one_after_the_other_and_none_twice(path: Path, tree: AttributeTree) -> None:
    gelu, other = (Idea(text, tag=Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation")) for text in ("a", "b"))
    assert [add_idea(path, idea, tree) for idea in (gelu, other)] == [1, 2]
    with pytest.raises(IdeaFileError, match="already contains this idea"):
        add_idea(path, gelu, tree)
    assert read_ideas(path, tree) == (gelu, other)
