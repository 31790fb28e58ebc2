"""Extracts the text of a paper from PDF, HTML or plain text."""

from __future__ import annotations

import io
import logging
import re
from pathlib import PurePosixPath

from fairnad.ideas.knowledge import ProblemKind

PDF_MAGIC = b"%PDF"
_DROPPED_TAGS = ["script", "style", "nav", "header", "footer", "noscript", "math", "svg"]
_BLOCK_TAGS = "h1,h2,h3,h4,h5,h6,p,li,div,section,tr,blockquote,pre"
_HYPHENATED = re.compile(r"(?<=[a-z])-\n(?=[a-z])")
_ABSTRACT = re.compile(r"^\s*(?:abstract|summary)\s*[.:—-]?\s*$", re.IGNORECASE | re.MULTILINE)
_INTRODUCTION = re.compile(r"^\s*(?:(?:1|I)\.?\s+)?introduction\s*$", re.IGNORECASE | re.MULTILINE)
_MAX_ABSTRACT = 3000


class DocumentError(Exception):
    """A document cannot be used, for the reason ``kind``."""

    def __init__(self, kind: ProblemKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def document_text(name: str, content: bytes) -> str:
    """The text of a document.

    Args:
        name: the file name, which gives the format if the content does not.

    Raises:
        DocumentError: the document is empty, damaged, encrypted, or has no text.
    """
    if not content.strip():
        raise DocumentError(ProblemKind.EMPTY, "the file is empty")
    if content.lstrip().startswith(PDF_MAGIC):
        text = _pdf_text(content)
    elif PurePosixPath(name.lower()).suffix == ".pdf":
        raise DocumentError(ProblemKind.BROKEN, "not a PDF despite its name")
    elif _is_html(name, content):
        text = html_text(_decode(content))
    else:
        text = _decode(content)
    if not text.strip():
        raise DocumentError(ProblemKind.EMPTY, "it contains no text; its pages may be scanned images")
    return _HYPHENATED.sub("", text.replace("\r\n", "\n"))


def html_text(html: str) -> str:
    """The text of a web page, one line per block."""
    from selectolax.lexbor import LexborHTMLParser

    page = LexborHTMLParser(html)
    for node in page.css(",".join(_DROPPED_TAGS)):
        node.decompose()
    root = page.css_first("article") or page.body
    if root is None:
        return ""
    for node in root.css(_BLOCK_TAGS):
        node.insert_before("\n")
        node.insert_after("\n")
    lines = (" ".join(line.split()) for line in root.text(separator=" ").split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def title_and_abstract(text: str) -> tuple[str, str]:
    """The first line that is long enough for a title, and the text between "Abstract" and the introduction."""
    lines = [" ".join(line.strip(" #*").split()) for line in text.split("\n")]
    title = next((line for line in lines if len(line) >= 8 and re.search(r"[A-Za-z]{3}", line)), "")
    heading = _ABSTRACT.search(text)
    if heading is None:
        inline = re.search(r"\babstract\s*[.:—-]\s*(.+)", text, re.IGNORECASE | re.DOTALL)
        start = inline.start(1) if inline else -1
    else:
        start = heading.end()
    if start < 0:
        return title, ""
    end = _INTRODUCTION.search(text, start)
    return title, " ".join(text[start : end.start() if end else start + _MAX_ABSTRACT].split())[:_MAX_ABSTRACT]


def _pdf_text(content: bytes) -> str:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns about every oddity of a readable file
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise DocumentError(ProblemKind.BROKEN, "the PDF is encrypted")
        return "\n".join(page.extract_text() for page in reader.pages)
    except (PyPdfError, *_DAMAGE) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        raise DocumentError(ProblemKind.BROKEN, f"the PDF is damaged: {message}") from error


_DAMAGE = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, AssertionError, OSError)
"""Further exceptions of pypdf for damaged files."""


def _is_html(name: str, content: bytes) -> bool:
    head = content[:1000].lower()
    return PurePosixPath(name.lower()).suffix in (".html", ".htm", ".xhtml") or b"<html" in head or b"<!doctype" in head


def _decode(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        if b"\0" in content:
            raise DocumentError(ProblemKind.BROKEN, "neither PDF, HTML nor text") from None
        return content.decode("latin-1")
