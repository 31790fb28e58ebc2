"""The starter ideas of the vision pack keep the paper's constraints (F.2.2)."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

from fairnad.attributes import AttributeTree, Category, Granularity, Target
from fairnad.ideas import Idea
from store.idea_files import read_ideas, write_ideas
from tools.embedder import HashedEmbedder

PACK = Path(__file__).parents[2] / "prompts/vision"

BANNED = re.compile(
    r"\btrain|pre-?trained|\bloss|\bdata\b|data ?set|\binitiali|\bepoch|\boptimi[sz]|learning rate"
    r"|\baugmentation|\bdistil|\b3-?d\b|\bvideo|lidar|radar|point cloud|depth map|\bgpu|\bhardware|\bclassifier"
    r"|classification|\bImageNet|\bCIFAR|[*:`#]",
    re.IGNORECASE,
)
"""Ideas speak of a backbone's architecture for images, and of nothing else, in plain text."""


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
    assert len(ideas) >= 130
    assert {category: by_category[category] for category in tree.categories if by_category[category] < 8} == {}
    assert {tag: by_tag[tag] for tag in tree.tags() if by_tag[tag] < 2} == {}


def test_ideas_are_short_plain_and_about_architecture(ideas: tuple[Idea, ...]) -> None:
    for idea in ideas:
        assert 12 <= len(idea.text.split()) <= 45, idea.text
        assert not (found := BANNED.search(idea.text)), (found and found[0], idea.text)
        assert idea.text.isascii() and idea.text[0].isupper() and idea.text.endswith("."), idea.text


def test_every_idea_goes_back_to_a_paper(ideas: tuple[Idea, ...]) -> None:
    for idea in ideas:
        assert idea.source.title, idea.text
        assert idea.source.year is not None and 1990 <= idea.source.year <= 2026, idea.text
        link = idea.source.link
        assert not link or re.fullmatch(r"https://(arxiv\.org/abs/\d{4}\.\d{4,5}|doi\.org/10\.\S+)", link), link
        if "arxiv" in link:
            assert 2000 + int(link[22:24]) == idea.source.year, idea


def test_a_paper_is_named_in_one_way_only(ideas: tuple[Idea, ...]) -> None:
    sources = {(idea.source.title, idea.source.year, idea.source.link) for idea in ideas}
    assert len({link for _, _, link in sources if link}) == sum(1 for _, _, link in sources if link)
    assert len({title for title, _, _ in sources}) == len(sources)


def test_no_two_ideas_say_nearly_the_same(ideas: tuple[Idea, ...]) -> None:
    vectors = HashedEmbedder(1024)([idea.text for idea in ideas])
    similarity = np.triu(vectors @ vectors.T, k=1)
    closest = np.argwhere(similarity > 0.75)
    assert [(ideas[i].text, ideas[j].text) for i, j in closest] == []


def test_ideas_are_not_written_after_one_template(ideas: tuple[Idea, ...]) -> None:
    first_words = Counter(idea.text.split()[0] for idea in ideas)
    assert max(first_words.values()) <= len(ideas) * 0.08
    openings = Counter(" ".join(idea.text.split()[:4]).casefold() for idea in ideas)
    assert max(openings.values()) <= 3


def test_the_file_is_sorted_by_the_tree_and_written_as_we_write_files(
    tree: AttributeTree, ideas: tuple[Idea, ...], tmp_path: Path
) -> None:
    place = {category: i for i, category in enumerate(tree.categories)}
    places = [place[idea.tag.category] for idea in ideas if idea.tag]
    assert all(one <= other for one, other in pairwise(places))
    write_ideas(tmp_path / "ideas.jsonl", ideas)
    assert (tmp_path / "ideas.jsonl").read_text() == (PACK / "ideas.jsonl").read_text(encoding="utf-8")
