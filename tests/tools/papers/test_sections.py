"""The method section is found by its heading, with a fallback."""

from __future__ import annotations

import pytest

from tools.papers.sections import method_passage

METHOD = "The block has two branches, one with a depthwise convolution and one with attention. " * 4
INTRODUCTION = "Networks are everywhere. " * 10


def paper(heading: str, after: str = "4. Experiments") -> str:
    front = f"A Title\nAbstract\nShort.\n1. Introduction\n{INTRODUCTION}"
    return f"{front}\n{heading}\n{METHOD}\n{after}\nIt works.\nReferences\n[1]"


@pytest.mark.parametrize(
    "heading",
    [
        "3. Method",
        "3 Methodology",
        "III. PROPOSED METHOD",
        "3. Our Approach",
        "## Approach",
        "**Method**",
        "3. Network Architecture",
        "Proposed Gated Block",
        "Method:",
    ],
)
@pytest.mark.parametrize(
    "after", ["4. Experiments", "IV. EXPERIMENTAL RESULTS", "# Results", "5 Conclusion and Outlook"]
)
def test_the_method_lies_between_its_heading_and_the_next_part(heading: str, after: str) -> None:
    passage = method_passage(paper(heading, after), 10_000)
    assert passage.text == METHOD.strip()
    assert passage.section.strip("#* :").lower() in heading.lower()


def test_a_heading_in_a_table_of_contents_is_passed_over() -> None:
    text = f"Contents\nMethod\n4\nExperiments\n7\n{paper('3. Method')}"
    assert method_passage(text, 10_000).text == METHOD.strip()


def test_words_inside_a_sentence_are_no_heading() -> None:
    text = f"1. Introduction\nwe describe our method\nin short. {INTRODUCTION}\n3. Method\n{METHOD}"
    assert method_passage(text, 10_000).section == "3. Method"


def test_without_a_heading_it_is_what_lies_after_the_introduction() -> None:
    passage = method_passage(paper("3. Gates and How They Open"), 10_000)
    assert passage.section == ""
    assert METHOD.strip() in passage.text
    assert "A Title" not in passage.text
    assert "[1]" not in passage.text, "references are left out"


def test_a_text_without_any_heading_is_read_as_it_is() -> None:
    passage = method_passage(METHOD, 10_000)
    assert (passage.section, passage.text) == ("", METHOD.strip())


def test_a_long_method_is_cut_at_the_end_of_a_line() -> None:
    lines = "\n".join(f"line {number} of the method tells of a block" for number in range(100))
    passage = method_passage(f"3. Method\n{lines}\n4. Experiments\n", 500)
    assert len(passage.text) <= 500
    assert passage.text.endswith("block")
