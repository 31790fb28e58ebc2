import re
from pathlib import Path

import pytest

from graphs.cli import help_docs
from graphs.search.graph import build


def test_the_picture_of_the_graphs_is_that_of_the_code():
    picture = build().compile(name="search").get_graph(xray=True).draw_mermaid().strip()
    assert f"```mermaid\n{picture}\n```" in Path("docs/graph.md").read_text()


PAGES = [Path("README.md"), Path("CONTRIBUTING.md"), *sorted(Path("docs").glob("*.md"))]


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_to_pages_and_headings(page: Path):
    links = re.findall(r"\]\((?!https?:)([^)\s#]*)(?:#([^)\s]*))?\)", page.read_text())
    for file, anchor in links:
        target = page.parent / file if file else page
        if target.name == "library.md":
            continue  # written with the library functions
        assert target.exists(), f"{page}: no file {file}"
        headings = map(slug, re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)) if anchor else ()
        assert not anchor or anchor in headings, f"{page}: no heading {file}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_the_modules_and_files_that_pages_name_exist(page: Path):
    text = page.read_text()
    folders = "agents|benchmarks|docs|fairnad|graphs|prompts|store|tests|tools"
    files = re.findall(rf"`((?:{folders})/[\w./-]+)`", text)
    modules = [name.replace(".", "/") for name in re.findall(rf"-m ((?:{folders})[\w.]+)", text)]
    assert [file for file in files if "NAME" not in file and not Path(file).exists()] == []
    assert [name for name in modules if not (Path(f"{name}.py").exists() or Path(name, "__main__.py").exists())] == []


def test_the_readme_takes_five_minutes():
    assert len(Path("README.md").read_text().split()) <= 1200


def test_every_page_is_in_the_index():
    index = Path("docs/README.md").read_text()
    assert [page.name for page in Path("docs").glob("*.md") if f"({page.name})" not in index] == ["README.md"]


def test_the_page_of_commands_is_the_help_of_the_commands():
    assert help_docs.PAGE.read_text() == help_docs.format_page(), "python -m graphs.cli.help_docs writes it"


def test_the_short_help_fits_on_two_screens():
    for line in ("graphs.search", "graphs.knowledge", "graphs.chat"):
        text = help_docs.PAGE.read_text().split(f"## python -m {line}\n")[1].split("\n## ")[0]
        assert len(text.splitlines()) <= 2 * 40
        assert max(map(len, text.splitlines())) <= 100


def test_no_help_shows_the_syntax_of_types():
    assert not re.search(r"list\[|dict\[|\[JSON\]|\{str|\{auto|None", help_docs.PAGE.read_text())
