"""What a person names becomes papers: files, folders, lists, a CVF year page, arXiv ids."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairnad.errors import PaperFileError
from fairnad.ideas.knowledge import ProblemKind
from tests.tools.papers.pdfs import pdf
from tests.tools.papers.site import GATED_ABSTRACT, METHOD, Site
from tools.papers.documents import DocumentError
from tools.papers.fetching import PoliteFetcher
from tools.papers.library import PaperLibrary, paper_of_row, read_rows


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as running:
        yield running


@pytest.fixture
def library(tmp_path: Path, site: Site) -> Iterator[PaperLibrary]:
    made = PaperLibrary(PoliteFetcher(tmp_path / "cache", seconds_between=0), f"{site.root}/api/query")
    yield made
    made.close()


def test_a_year_page_lists_papers_that_are_described_and_read_one_by_one(library: PaperLibrary, site: Site) -> None:
    papers, problems = library.list_papers([f"{site.root}/CVPR2023?day=all"])
    assert problems == []
    assert [(paper.title, paper.year) for paper in papers] == [
        ("Gated Blocks for Networks", 2023),
        ("A Large Dataset", 2023),
    ]
    gated = library.describe(papers[0])
    assert gated.abstract == GATED_ABSTRACT
    assert gated.link.endswith("Smith_Gated_Blocks_CVPR_2023_paper.html")
    passage = library.read(gated, 10_000)
    assert (passage.section, passage.text) == ("3. Method", METHOD.strip())


def test_arxiv_is_asked_once_for_all_ids(library: PaperLibrary, site: Site) -> None:
    papers, problems = library.list_papers(["arxiv:2201.03545", "https://arxiv.org/abs/9999.99999"])
    (paper,) = papers
    assert (paper.paper_id, paper.title, paper.year) == ("arxiv-2201.03545", "A ConvNet for the 2020s", 2022)
    assert paper.abstract == "Large kernels and layer normalization in a convolution block."
    assert library.read(paper, 10_000).section == "3. Method"
    assert [(problem.kind, problem.where) for problem in problems] == [(ProblemKind.MISSING, "arxiv:9999.99999")]
    assert sum(number for path, number in site.visits.items() if path.startswith("/api")) == 1


def test_files_and_folders_are_read(library: PaperLibrary, tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "one.pdf").write_bytes(pdf("A Title of a Paper", "Abstract", "Gates help.", "1. Introduction"))
    (folder / "two.txt").write_text("Another Title\nAbstract\nBranches help.\n1. Introduction\n")
    (folder / "list.jsonl").write_text('{"title": "A Third", "abstract": "Fusion helps.", "year": 2020}\n')
    (folder / "notes.docx").write_text("not looked at")
    papers, problems = library.list_papers([str(folder), str(folder / "one.pdf")])
    described = {library.describe(paper).title: library.describe(paper).abstract for paper in papers}
    assert described == {
        "A Title of a Paper": "Gates help.",
        "Another Title": "Branches help.",
        "A Third": "Fusion helps.",
    }
    assert problems == []
    assert len(papers) == 3, "a file that is named twice is one paper"


def test_papers_of_one_title_are_one(library: PaperLibrary, tmp_path: Path) -> None:
    rows = [{"title": "Gated Blocks", "abstract": "a"}, {"title": "gated-blocks!", "abstract": "b"}]
    path = tmp_path / "list.json"
    path.write_text(json.dumps(rows))
    papers, _ = library.list_papers([str(path)])
    assert [paper.abstract for paper in papers] == ["a"]


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("missing.pdf", None, ProblemKind.MISSING),
        ("bad.jsonl", "{oops", ProblemKind.BROKEN),
        ("empty.jsonl", '{"authors": "nobody"}', ProblemKind.NO_ABSTRACT),
    ],
)
def test_sources_that_cannot_be_used_are_problems(
    library: PaperLibrary, tmp_path: Path, name: str, content: str | None, kind: ProblemKind
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    papers, problems = library.list_papers([str(tmp_path / name)])
    assert papers == []
    assert [problem.kind for problem in problems] == [kind]


def test_an_empty_folder_and_a_page_that_lists_nothing_are_problems(
    library: PaperLibrary, site: Site, tmp_path: Path
) -> None:
    (tmp_path / "nothing").mkdir()
    site.pages["/blog"] = "<html>hello</html>"
    _, problems = library.list_papers([str(tmp_path / "nothing"), f"{site.root}/blog", f"{site.root}/private/x"])
    assert [problem.kind for problem in problems] == [ProblemKind.EMPTY, ProblemKind.EMPTY, ProblemKind.FORBIDDEN]


def test_a_paper_page_without_an_abstract_is_a_problem(library: PaperLibrary, site: Site) -> None:
    papers, _ = library.list_papers([f"{site.root}/CVPR2023?day=all"])
    site.pages[papers[0].page.removeprefix(site.root)] = "<html>moved</html>"
    with pytest.raises(DocumentError, match="no abstract"):
        library.describe(papers[0])


def test_what_is_only_a_list_entry_is_read_from_its_abstract(library: PaperLibrary) -> None:
    paper = paper_of_row({"title": "T", "abstract": "Use gates.", "oa_url": "https://example.org", "year": 2023})
    assert (paper.link, paper.year) == ("https://example.org", 2023)
    passage = library.read(paper, 1000)
    assert (passage.section, passage.text) == ("abstract", "Use gates.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"title": "a"}\n{oops\n', r"line 2: expected a JSON object with title and abstract, found '\{oops'"),
        ("[1]", "entry 1: expected an object with title and abstract, found 1"),
        ('"text"\n', "line 1: expected a JSON object"),
        ("[{]", "expected a JSON array of papers, found broken JSON"),
    ],
)
def test_a_list_that_is_none_names_the_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "papers.jsonl"
    path.write_text(content)
    with pytest.raises(PaperFileError, match=message):
        read_rows(path)


def test_a_list_that_is_missing_or_not_utf8_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(PaperFileError, match="no such file"):
        read_rows(tmp_path / "none.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"title": "\xe9"}')
    with pytest.raises(PaperFileError, match="expected UTF-8"):
        read_rows(tmp_path / "latin.jsonl")
