"""Parses CVF year pages, CVF paper pages and arXiv feeds as papers."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from urllib.parse import quote, urljoin

from fairnad.ideas.knowledge import Paper, ProblemKind
from tools.papers.documents import DocumentError

ARXIV_INTERFACE = "https://export.arxiv.org/api/query"
ARXIV_ID = re.compile(
    r"(?:arxiv:|https?://arxiv\.org/(?:abs|pdf)/)([\w.-]+/?[0-9]+(?:v[0-9]+)?)(?:\.pdf)?$", re.IGNORECASE
)
_ATOM = "{http://www.w3.org/2005/Atom}"
_YEAR = re.compile(r"(?<![0-9])(?:19|20)[0-9]{2}(?![0-9])")
_EARLIEST_YEAR = 1990


def papers_of_year_page(url: str, html: str) -> list[Paper]:
    """The papers of a CVF year page, with titles and pages, in order."""
    from selectolax.lexbor import LexborHTMLParser

    papers = []
    for heading in LexborHTMLParser(html).css("dt.ptitle"):
        link = heading.css_first("a")
        address = link.attributes.get("href") if link is not None else None
        if link is None or not address:
            continue
        page = urljoin(url, address)
        title = " ".join(link.text().split())
        name = page.rsplit("/", 1)[-1].removesuffix(".html")
        papers.append(Paper(paper_id=f"cvf-{name}", title=title, year=_year_of(page), link=page, page=page))
    return papers


def describe_cvf_page(paper: Paper, html: str) -> Paper:
    """The paper with title, abstract and document of its page.

    Raises:
        DocumentError: the page shows no abstract.
    """
    from dataclasses import replace

    from selectolax.lexbor import LexborHTMLParser

    page = LexborHTMLParser(html)
    abstract = page.css_first("#abstract")
    title = page.css_first("#papertitle")
    if abstract is None or not abstract.text().strip():
        raise DocumentError(ProblemKind.NO_ABSTRACT, f"{paper.page} shows no abstract")
    links = [link.attributes.get("href") or "" for link in page.css("a")]
    document = next((urljoin(paper.page, link) for link in links if link.endswith(".pdf")), "")
    heading = next(iter(title.text().strip().split("\n")), "") if title is not None else ""
    return replace(
        paper,
        title=paper.title or " ".join(heading.split()),
        abstract=" ".join(abstract.text().split()),
        document=document,
    )


def arxiv_query(identifiers: Sequence[str], interface: str = ARXIV_INTERFACE) -> str:
    """The request for these papers."""
    return f"{interface}?id_list={quote(','.join(identifiers), safe=',/')}&max_results={len(identifiers)}"


def papers_of_arxiv(feed: bytes) -> list[Paper]:
    """The papers of an arXiv feed; entries without title or abstract are skipped.

    Raises:
        DocumentError: it is not a feed.
    """
    try:
        root = ElementTree.fromstring(feed)
    except ElementTree.ParseError as error:
        raise DocumentError(ProblemKind.BROKEN, f"arXiv sent no feed: {error}") from error
    papers = []
    for entry in root.iter(f"{_ATOM}entry"):
        address, title, abstract = (_text(entry, name) for name in ("id", "title", "summary"))
        identifier = address.rsplit("/abs/", 1)[-1]
        if "/abs/" not in address or not title or not abstract:
            continue
        year = _text(entry, "published")[:4]
        pdf = next((link.get("href", "") for link in entry.iter(f"{_ATOM}link") if link.get("title") == "pdf"), "")
        papers.append(
            Paper(
                paper_id=f"arxiv-{re.sub(r'v[0-9]+$', '', identifier)}",
                title=title,
                abstract=abstract,
                year=int(year) if year.isdigit() else None,
                link=address,
                document=pdf or address.replace("/abs/", "/pdf/"),
            )
        )
    return papers


def _text(entry: ElementTree.Element, name: str) -> str:
    return " ".join((entry.findtext(f"{_ATOM}{name}") or "").split())


def _year_of(text: str) -> int | None:
    years = [int(year) for year in _YEAR.findall(text.replace("_", " "))]
    years += [int(year) for year in re.findall(r"[A-Z]{4}((?:19|20)[0-9]{2})", text)]
    return next((year for year in years if year >= _EARLIEST_YEAR), None)
