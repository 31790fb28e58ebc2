"""The part of the vision pack that knowledge is built by, and what is said when one is wrong."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fairnad.errors import PackError
from fairnad.ideas.attribute_tree import Target
from fairnad.roles import templates_of
from prompts.knowledge_pack import KnowledgePack, load_knowledge_pack
from prompts.lexicon import term_pattern


@pytest.fixture(scope="module")
def knowledge() -> KnowledgePack:
    return load_knowledge_pack("vision")


@pytest.fixture
def broken(tmp_path: Path) -> Callable[[str, str, str], Path]:
    """The vision pack with one piece of text in one file of its knowledge folder replaced."""

    def make(name: str, old: str, new: str) -> Path:
        folder = tmp_path / "pack"
        shutil.copytree(Path("prompts/vision"), folder)
        path = folder / "knowledge" / name
        content = path.read_text()
        assert old in content
        path.write_text(content.replace(old, new, 1))
        return folder

    return make


def test_the_template_is_that_of_the_paper(knowledge: KnowledgePack) -> None:
    assert len(knowledge.template.notes) == 15
    assert all(note.about and note.examples for note in knowledge.template.notes.values())
    assert set(knowledge.template.outline()) == {"performance", "efficiency"}


def test_there_are_fourteen_references(knowledge: KnowledgePack) -> None:
    assert len({reference.name for reference in knowledge.references}) == 14


def test_the_lexicon_knows_every_main_category(knowledge: KnowledgePack) -> None:
    assert {tag.category for tag in knowledge.lexicon.signs} == set(knowledge.template.notes)
    assert {tag for tag in knowledge.pack.attribute_tree.tags() if tag.sub} <= set(knowledge.lexicon.signs)


def test_the_prompts_show_the_tree_and_keep_the_papers_constraints(knowledge: KnowledgePack) -> None:
    tree = knowledge.pack.attribute_tree
    variables = {
        "performance_attributes": tree.outline(Target.PERFORMANCE),
        "efficiency_attributes": tree.outline(Target.EFFICIENCY),
        "title": "THE TITLE",
        "abstract": "THE ABSTRACT",
        "method": "THE METHOD",
        "template": knowledge.template.outline(),
        "name": "THE MODEL",
        "code": "THE CODE",
    }
    prompts = {
        role: "\n".join(text for _, text in knowledge.messages(role, **variables)) for role in templates_of("knowledge")
    }
    for role in ("paper_filter", "idea_extraction"):
        for tag in tree.tags():
            assert tag.main in prompts[role]
            assert tag.sub in prompts[role]
        assert re.search(r"training", prompts[role], re.IGNORECASE)
        assert "LiDAR" in prompts[role]
    assert "fewer than fifty words" in prompts["idea_extraction"]
    assert "fewer than fifty words" in prompts["idea_extraction_unstructured"]
    assert "sub-category" not in prompts["idea_extraction_unstructured"]
    assert "THE CODE" in prompts["attribute_structuring"]
    assert all("\n\n\n" not in prompt for prompt in prompts.values()), "no holes where a loop ended"


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("knowledge.toml", "paper_filter = ", "paper_sieve = ", r"\[prompts\] has .*paper_sieve.*; expected"),
        ("knowledge.toml", '"title", "abstract"]', '"title"]', "the prompt shows abstract"),
        ("knowledge.toml", "module =", "modul =", r"references\.0"),
        ("attribute_template.yaml", "    activation:", "    activations:", "only the .* has"),
        ("attribute_template.yaml", "about:", "abaut:", r"about|abaut"),
        ("lexicon.yaml", "keep_above: 0.2", "keep_above: 2", r"keep_above"),
        ("lexicon.yaml", "'nn\\.ReLU6'", "'('", "not a regular expression"),
        ("lexicon.yaml", "mechanisms:", "mechanism:", "mechanism"),
        ("paper_filter.md", "# User", "# Person", "expected the headings"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_that_names_the_file(
    broken: Callable[[str, str, str], Path], name: str, old: str, new: str, message: str
) -> None:
    with pytest.raises(PackError, match=message) as caught:
        load_knowledge_pack(str(broken(name, old, new)))
    assert "\n" not in str(caught.value)


def test_a_pack_without_the_folder_can_be_searched_with_but_not_built_by(tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    shutil.copytree(Path("prompts/vision"), folder)
    shutil.rmtree(folder / "knowledge")
    with pytest.raises(PackError, match=r"knowledge.toml: expected this file"):
        load_knowledge_pack(str(folder))


@pytest.mark.parametrize(
    ("term", "text", "is_found"),
    [
        ("skip connection", "two skip-connections", True),
        ("skip connection", "skipconnection", False),
        ("aggregat*", "an aggregation", True),
        ("layer", "multilayer", False),
        ("u-net", "a U-Net", True),
        ("c++", "in C++", True),
    ],
)
def test_a_term_is_found_as_whole_words(term: str, text: str, is_found: bool) -> None:
    assert (term_pattern(term).search(text) is not None) is is_found
