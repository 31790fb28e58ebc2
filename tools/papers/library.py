"""Finds papers by files, folders, lists, CVF year pages and arXiv ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fairnad.errors import PaperFileError
from fairnad.ideas.knowledge import Paper, Passage, Problem, ProblemKind
from prompts.paths import given_path
from tools.papers.documents import DocumentError, document_text, title_and_abstract
from tools.papers.fetching import PoliteFetcher
from tools.papers.sections import method_passage
from tools.papers.sites import (
    ARXIV_ID,
    ARXIV_INTERFACE,
    arxiv_query,
    describe_cvf_page,
    papers_of_arxiv,
    papers_of_year_page,
)

_DOCUMENTS = (".pdf", ".txt", ".md", ".html", ".htm")
_LISTS = (".jsonl", ".json")
_IDS_A_REQUEST = 50


class PaperLibrary:
    """Lists, describes and reads papers; web pages are read by ``fetcher``."""

    def __init__(self, fetcher: PoliteFetcher, arxiv_interface: str = ARXIV_INTERFACE) -> None:
        self._fetcher = fetcher
        self._arxiv_interface = arxiv_interface

    def list_papers(self, sources: Sequence[str]) -> tuple[list[Paper], list[Problem]]:
        """The distinct papers of all sources in order, and the problems of sources.

        A source is a file (PDF, text, HTML, JSON or JSON lines), a folder of such files, ``arxiv:ID``, or the URL of a
        CVF year page or a PDF. Papers with one title are the same.
        """
        problems: list[Problem] = []
        found: list[Paper] = []
        identifiers: list[str] = []
        for source in sources:
            if (match := ARXIV_ID.fullmatch(source)) is not None:
                identifiers.append(match[1])
                continue
            try:
                found += self._list_source(source, problems)
            except DocumentError as error:
                problems.append(Problem(error.kind, source, str(error)))
        found += self._from_arxiv(identifiers, problems)
        return list(_distinct(found)), problems

    def describe(self, paper: Paper) -> Paper:
        """The paper with title and abstract, from its page or document if the list has none.

        Raises:
            DocumentError: there is neither title nor abstract.
        """
        if not paper.abstract and paper.page:
            paper = describe_cvf_page(paper, self._fetcher.fetch(paper.page).decode("utf-8", "replace"))
        elif not paper.abstract and paper.document:
            title, abstract = title_and_abstract(self._text(paper.document))
            paper = replace(paper, title=paper.title or title, abstract=abstract)
        if not (paper.title.strip() or paper.abstract.strip()):
            raise DocumentError(ProblemKind.NO_ABSTRACT, "it has neither title nor abstract")
        return paper

    def read(self, paper: Paper, num_characters: int) -> Passage:
        """The method section, see :func:`tools.papers.sections.method_passage`; the abstract if there is no document.

        Raises:
            DocumentError: the document cannot be fetched or read.
        """
        if not paper.document:
            return Passage("abstract", paper.abstract)
        return method_passage(self._text(paper.document), num_characters)

    def close(self) -> None:
        """Close the connections."""
        self._fetcher.close()

    def _text(self, document: str) -> str:
        content = self._fetcher.fetch(document) if _is_address(document) else _file_content(Path(document))
        return document_text(document, content)

    def _list_source(self, source: str, problems: list[Problem]) -> list[Paper]:
        if _is_address(source):
            return self._from_address(source)
        path = given_path(source)
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix.lower() in (*_DOCUMENTS, *_LISTS))
            if not files:
                raise DocumentError(ProblemKind.EMPTY, f"no {', '.join((*_DOCUMENTS, *_LISTS))} file in this folder")
            return self._from_files(files, problems)
        if path.suffix.lower() in _LISTS:
            return _from_list(path, problems)
        return [_from_document(path)]

    def _from_files(self, files: Iterable[Path], problems: list[Problem]) -> list[Paper]:
        papers: list[Paper] = []
        for file in files:
            try:
                papers += self._list_source(str(file), problems)
            except DocumentError as error:
                problems.append(Problem(error.kind, str(file), str(error)))
        return papers

    def _from_address(self, address: str) -> list[Paper]:
        if address.lower().endswith(".pdf"):
            return [Paper(f"web-{_digest(address)}", link=address, document=address)]
        papers = papers_of_year_page(address, self._fetcher.fetch(address).decode("utf-8", "replace"))
        if not papers:
            raise DocumentError(ProblemKind.EMPTY, "this page lists no papers as CVF year pages do")
        return papers

    def _from_arxiv(self, identifiers: Sequence[str], problems: list[Problem]) -> list[Paper]:
        papers: list[Paper] = []
        for start in range(0, len(identifiers), _IDS_A_REQUEST):
            asked = identifiers[start : start + _IDS_A_REQUEST]
            try:
                answered = papers_of_arxiv(self._fetcher.fetch(arxiv_query(asked, self._arxiv_interface)))
            except DocumentError as error:
                problems.append(Problem(error.kind, f"arxiv:{', '.join(asked)}", str(error)))
                continue
            papers += answered
            known = {paper.paper_id for paper in answered}
            for identifier in asked:
                if f"arxiv-{identifier.split('v')[0]}" not in known:
                    problems.append(Problem(ProblemKind.MISSING, f"arxiv:{identifier}", "arXiv knows no such paper"))
        return papers


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a list of papers, JSON lines or one JSON array, unchanged.

    Raises:
        PaperFileError: the file cannot be read, or a line is not a JSON object; the message names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PaperFileError(f"{path}: expected a list of papers (JSON lines), found {reason}") from error
    except UnicodeDecodeError as error:
        raise PaperFileError(f"{path}: expected UTF-8, found another encoding: save it as UTF-8") from error
    if text.lstrip().startswith("["):
        return _array(path, text)
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            rows.append(_object(f"{path}, line {number}", line))
    return rows


def paper_of_row(row: dict[str, Any]) -> Paper:
    """The paper of a row; missing fields and those of another type are empty."""
    title, abstract = (_text_field(row, name) for name in ("title", "abstract"))
    link = next((text for name in ("link", "oa_url", "url") if (text := _text_field(row, name))), "")
    document = next((text for name in ("document", "pdf") if (text := _text_field(row, name))), "")
    given = row.get("year")
    return Paper(
        paper_id=f"list-{_digest(title + chr(0) + abstract)}",
        title=title,
        abstract=abstract,
        year=given if isinstance(given, int) and not isinstance(given, bool) else None,
        link=link,
        document=document,
    )


def _array(path: Path, text: str) -> list[dict[str, Any]]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise PaperFileError(f"{path}: expected a JSON array of papers, found broken JSON ({error})") from error
    for number, row in enumerate(content, start=1):
        if not isinstance(row, dict):
            raise PaperFileError(f"{path}, entry {number}: expected an object with title and abstract, found {row!r}")
    return list(content)


def _object(place: str, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PaperFileError(f"{place}: expected a JSON object with title and abstract, found {line[:60]!r}") from error
    if not isinstance(row, dict):
        raise PaperFileError(f"{place}: expected a JSON object with title and abstract, found {line[:60]!r}")
    return row


def _text_field(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    # Lone surrogates have no UTF-8 form and could not be stored.
    return " ".join(value.encode("utf-8", "replace").decode().split()) if isinstance(value, str) else ""


def _from_list(path: Path, problems: list[Problem]) -> list[Paper]:
    try:
        rows = read_rows(path)
    except PaperFileError as error:
        raise DocumentError(ProblemKind.BROKEN, str(error)) from error
    papers = [paper_of_row(row) for row in rows]
    for number, paper in enumerate(papers, start=1):
        if not (paper.title or paper.abstract):
            problems.append(Problem(ProblemKind.NO_ABSTRACT, f"{path}, entry {number}", "neither title nor abstract"))
    return [paper for paper in papers if paper.title or paper.abstract]


def _from_document(path: Path) -> Paper:
    content = _file_content(path)
    return Paper(f"file-{hashlib.sha256(content).hexdigest()[:12]}", link=str(path), document=str(path.absolute()))


def _file_content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DocumentError(ProblemKind.MISSING, "the file is missing") from None
    except OSError as error:
        raise DocumentError(ProblemKind.BROKEN, (error.strerror or str(error)).lower()) from error


def _distinct(papers: Iterable[Paper]) -> Iterator[Paper]:
    ids: set[str] = set()
    titles: set[str] = set()
    for paper in papers:
        if paper.paper_id in ids or paper.title_key in titles:
            continue
        ids.add(paper.paper_id)
        if paper.title_key:
            titles.add(paper.title_key)
        yield paper


def _is_address(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
