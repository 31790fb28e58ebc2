"""Files as they come: PDF, HTML and text; damaged, empty and mislabelled ones are told apart."""

from __future__ import annotations

import pytest

from fairnad.ideas.knowledge import ProblemKind
from tests.tools.papers.pdfs import pdf
from tools.papers.documents import DocumentError, document_text, html_text, title_and_abstract

LINES = ("A Title of a Paper", "Abstract", "Gates help.", "1. Introduction", "Long ago.")


def test_a_pdf_is_read_line_by_line() -> None:
    assert document_text("paper.pdf", pdf(*LINES)).split("\n") == list(LINES)


def test_a_web_page_is_read_block_by_block() -> None:
    html = (
        "<html><script>bad()</script><nav>menu</nav><h2>3. Method</h2><p>A <b>gated</b>\nblock.</p><p>More.</p></html>"
    )
    assert html_text(html).split() == ["3.", "Method", "A", "gated", "block.", "More."]
    assert "3. Method" in html_text(html).split("\n")


def test_words_broken_at_line_ends_are_joined() -> None:
    assert document_text("a.txt", b"a convolu-\ntion of Self-\nAttention") == "a convolution of Self-\nAttention"


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.pdf", b"", ProblemKind.EMPTY),
        ("a.txt", b" \n ", ProblemKind.EMPTY),
        ("a.pdf", b"hello", ProblemKind.BROKEN),
        ("a.pdf", b"%PDF-1.7\ngarbage", ProblemKind.BROKEN),
        ("a.pdf", pdf(*LINES)[:300], ProblemKind.BROKEN),
        ("a.pdf", pdf(), ProblemKind.EMPTY),
        ("a.txt", b"\xff\x00\x01", ProblemKind.BROKEN),
        ("a.html", b"<html><body></body></html>", ProblemKind.EMPTY),
    ],
)
def test_what_cannot_be_used_is_told_apart(name: str, content: bytes, kind: ProblemKind) -> None:
    with pytest.raises(DocumentError) as caught:
        document_text(name, content)
    assert caught.value.kind is kind


def test_other_encodings_are_read_as_well_as_they_can() -> None:
    assert document_text("a.txt", "naïve".encode("latin-1")) == "naïve"


@pytest.mark.parametrize(
    ("text", "abstract"),
    [
        ("\n".join(LINES), "Gates help."),
        ("A Title of a Paper\nAbstract. Gates help.\n1 Introduction\nLong ago.", "Gates help."),
        ("A Title of a Paper\nNothing else", ""),
    ],
)
def test_title_and_abstract_are_found(text: str, abstract: str) -> None:
    assert title_and_abstract(text) == ("A Title of a Paper", abstract)
