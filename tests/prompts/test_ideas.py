"""The starter ideas of the vision pack keep the paper's constraints (F.2.2)."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

from agents.builtin.catalogue import transformations
from fairnad.ideas.attribute_tree import AttributeTree, Category, Granularity, Target
from fairnad.ideas.idea import Idea
from prompts.loader import load_pack
from store.idea_files import read_ideas, write_ideas
from tools.embedder import HashedEmbedder

PACK = Path(__file__).parents[2] / "prompts/vision"
TRANSFORMATIONS = transformations(load_pack("vision").library)

BANNED = re.compile(
    r"\btrain|pre-?trained|\bloss|\bdata\b|data ?set|\binitiali|\bepoch|\boptimi[sz]|learning rate|\bfine-?tun"
    r"|\bfreez|\bfroze|\bquantiz|\bprun|\bregulari[sz]|supervis|\blabel|\bteacher|\baugmentation|\bdistil"
    r"|\b3-?d\b|three-dimensional|\bvideo|\btemporal|lidar|radar|point cloud|depth map|\bgpu|\bhardware|\bresolution"
    r"|\bclassifier|classification|\bImageNet|\bCIFAR|[*:`#]",
    re.IGNORECASE,
)
"""Ideas speak of a backbone's architecture for images, and of nothing else, in plain text."""

MOST_ALIKE = 0.7
"""The largest cosine of two ideas' hashed words and letters; the closest pair has 0.67."""

MOST_SHARED = 0.2
"""The largest share of three-word sequences two ideas have in common; the closest pair has 0.15."""

OWN = "FairNAD"
"""The source of ideas that go back to no paper."""


@pytest.fixture(scope="module")
def tree() -> AttributeTree:
    content = yaml.safe_load((PACK / "attribute_tree.yaml").read_text(encoding="utf-8"))
    return AttributeTree(
        {
            Category(Target(target), Granularity(granularity), main): tuple(subs)
            for target, granularities in content.items()
            for granularity, mains in granularities.items()
            for main, subs in mains.items()
        }
    )


@pytest.fixture(scope="module")
def ideas(tree: AttributeTree) -> tuple[Idea, ...]:
    return read_ideas(PACK / "ideas.jsonl", tree)


def test_the_tree_is_that_of_the_paper(tree: AttributeTree) -> None:
    num_main = Counter((str(category.target), str(category.granularity)) for category in tree.categories)
    assert num_main == {
        ("performance", "operation"): 3,
        ("performance", "block and connectivity"): 4,
        ("performance", "network"): 2,
        ("efficiency", "operation"): 2,
        ("efficiency", "block and connectivity"): 2,
        ("efficiency", "network"): 2,
    }
    assert sum(len(subs) for subs in tree.categories.values()) == 55
    for category, subs in tree.categories.items():
        for name in (category.main, *subs):
            assert re.fullmatch(r"[a-z0-9]+([ -][a-z0-9]+)*", name)
        assert len(set(subs)) == len(subs)


def test_there_are_ideas_for_every_category(tree: AttributeTree, ideas: tuple[Idea, ...]) -> None:
    by_category = Counter(idea.tag.category for idea in ideas if idea.tag)
    by_tag = Counter(idea.tag for idea in ideas)
    assert len(ideas) >= 900
    assert {category: by_category[category] for category in tree.categories if by_category[category] < 20} == {}
    assert {tag: by_tag[tag] for tag in tree.tags() if by_tag[tag] < 6} == {}


def test_ideas_are_short_plain_and_about_architecture(ideas: tuple[Idea, ...]) -> None:
    for idea in ideas:
        assert 12 <= len(idea.text.split()) <= 45, idea.text
        assert not (found := BANNED.search(idea.text)), (found and found[0], idea.text)
        assert idea.text.isascii() and idea.text[0].isupper() and idea.text.endswith("."), idea.text


def test_every_idea_says_where_it_comes_from(ideas: tuple[Idea, ...]) -> None:
    for idea in ideas:
        assert idea.source.title == idea.source.title.strip() != "", idea.text
        assert idea.source.year is not None and 1990 <= idea.source.year <= 2026, idea.text
        assert (idea.source.title == OWN) <= (idea.source.year == 2026 and not idea.source.link), idea


def test_links_are_well_formed_and_as_old_as_the_paper(ideas: tuple[Idea, ...]) -> None:
    for source in {idea.source for idea in ideas if idea.source.link}:
        if source.link.startswith("https://doi.org/"):
            assert re.fullmatch(r"https://doi\.org/10\.\d{4,9}/\S+", source.link), source
            continue
        found = re.fullmatch(r"https://arxiv\.org/abs/(\d\d)(\d\d)\.(\d{4,5})", source.link)
        assert found, source
        year, month, number = int(found[1]), int(found[2]), found[3]
        assert source.year == 2000 + year, source
        assert 1 <= month <= 12 and len(number) == (4 if year < 15 else 5), source


def test_most_ideas_go_back_to_papers_of_many_years(ideas: tuple[Idea, ...]) -> None:
    papers = {idea.source.title: idea.source.year for idea in ideas if idea.source.title != OWN}
    assert sum(idea.source.title != OWN for idea in ideas) > len(ideas) / 2
    assert len(papers) >= 300
    years = Counter(papers.values())
    assert {year: years[year] for year in range(2013, 2026) if years[year] < 2} == {}
    assert max(Counter(idea.source.title for idea in ideas if idea.source.title != OWN).values()) <= 12


def test_a_paper_is_named_in_one_way_only(ideas: tuple[Idea, ...]) -> None:
    sources = {(idea.source.title, idea.source.year, idea.source.link) for idea in ideas}
    assert len({link for _, _, link in sources if link}) == sum(1 for _, _, link in sources if link)
    assert len({title.casefold() for title, _, _ in sources}) == len(sources)


def test_no_idea_is_there_twice_under_any_tag(ideas: tuple[Idea, ...]) -> None:
    texts = Counter(" ".join(re.findall(r"\w+", idea.text.casefold())) for idea in ideas)
    assert [text for text, count in texts.items() if count > 1] == []


def test_no_two_ideas_say_nearly_the_same(ideas: tuple[Idea, ...]) -> None:
    vectors = HashedEmbedder(1024)([idea.text for idea in ideas])
    similarity = np.triu(vectors @ vectors.T, k=1)
    closest = np.argwhere(similarity > MOST_ALIKE)
    assert [(ideas[i].text, ideas[j].text) for i, j in closest] == []


def test_no_two_ideas_share_much_wording(ideas: tuple[Idea, ...]) -> None:
    shingled = [(idea.text, shingles(idea.text)) for idea in ideas]
    alike = [
        (one, other)
        for (one, first), (other, second) in combinations(shingled, 2)
        if len(first & second) > MOST_SHARED * len(first | second)
    ]
    assert alike == []


def shingles(text: str) -> frozenset[tuple[str, ...]]:
    words = re.findall(r"\w+", text.casefold())
    return frozenset(zip(words, words[1:], words[2:], strict=False))


def test_ideas_are_not_written_after_one_template(ideas: tuple[Idea, ...]) -> None:
    first_words = Counter(idea.text.split()[0] for idea in ideas)
    assert max(first_words.values()) <= len(ideas) * 0.08
    openings = Counter(" ".join(idea.text.split()[:4]).casefold() for idea in ideas)
    assert max(openings.values()) <= 3


def test_the_built_in_designer_knows_what_most_ideas_speak_of(ideas: tuple[Idea, ...]) -> None:
    understood = [
        idea
        for idea in ideas
        if idea.tag and any(t.score(idea.text, "") for t in TRANSFORMATIONS if idea.tag.category in t.categories)
    ]
    assert len(understood) >= 0.8 * len(ideas)


def test_the_file_is_sorted_by_the_tree_and_written_as_we_write_files(
    tree: AttributeTree, ideas: tuple[Idea, ...], tmp_path: Path
) -> None:
    place = {category: i for i, category in enumerate(tree.categories)}
    places = [place[idea.tag.category] for idea in ideas if idea.tag]
    assert all(one <= other for one, other in pairwise(places))
    write_ideas(tmp_path / "ideas.jsonl", ideas)
    assert (tmp_path / "ideas.jsonl").read_text() == (PACK / "ideas.jsonl").read_text(encoding="utf-8")
