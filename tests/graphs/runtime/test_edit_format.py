"""Which form mutations are written in, from the settings to the draw."""

import re
import shutil
from pathlib import Path

import pytest

from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.records.candidate import CandidateId
from fairnad.records.history import History
from fairnad.search.draw_choices import decide_draw, missing_prompt_text, wanted_edit_format
from fairnad.search.edit_format_choice import EDIT_FORMATS
from fairnad.settings.search_settings import RunContext
from prompts.loader import Pack, load_pack

IDEA = Idea("Gate it.", tag=Tag(Target.PERFORMANCE, Granularity.BLOCK, "gates"))
WORDING = "# System\nBe brief.\n# User\n{{ idea }} on {{ parent | fenced }}\n"
ORDER = Idea("Reorder it.", tag=Tag(Target.PERFORMANCE, Granularity.NETWORK, "order"))


def context(*, model: str = "small", wording: str = "", edit_wording: str = "", **agents: str) -> RunContext:
    prompts = {"prompts": {"mutation": wording, "mutation_edit": edit_wording}}
    return RunContext.model_validate({"llm": {"model": model}, "agents": agents, **prompts})


def chosen(settings: RunContext, idea: Idea = IDEA, *, pack: str = "vision", stage: str = "fair") -> set[str]:
    loaded = load_pack(pack, settings.prompts)
    places = [CandidateId.parse(f"g01-{stage}-r1-s{slot:02d}-d0") for slot in range(40)]
    forms = [decide_draw(settings, loaded.has, None, History(), place, idea).form for place in places]
    assert forms == [decide_draw(settings, loaded.has, None, History(), place, idea).form for place in places]
    return set(forms)


@pytest.mark.parametrize(
    ("settings", "forms"),
    [
        (context(), set(EDIT_FORMATS)),
        (context(edit_format="edit"), {"edit"}),
        (context(edit_format="module"), {"module"}),
        (context(mode="paper"), {"full"}),
        (context(mode="paper", edit_format="edit"), {"full"}),
        (context(wording=WORDING), {"full"}),
        (context(wording=WORDING, edit_format="edit"), {"full"}),
        (context(wording=WORDING, edit_wording=WORDING), {"full", "edit"}),
        (context(model=""), {""}),
        (context(mutator="builtin"), {""}),
    ],
)
def test_the_form_is_chosen_at_the_draw(settings: RunContext, forms: set[str]) -> None:
    assert chosen(settings) == forms


def test_ideas_for_the_network_as_a_whole_are_written_as_whole_files() -> None:
    assert chosen(context(), ORDER) == {"full"}


def said_of(settings: RunContext, pack: Pack) -> str:
    return missing_prompt_text(settings, pack.name, pack.has)


def without(folder: Path, lost: str) -> Path:
    """The vision pack without the prompts of some forms."""
    shutil.copytree(load_pack("vision").folder, folder)
    text = (folder / "pack.toml").read_text()
    (folder / "pack.toml").write_text(re.sub(rf"^\w+_(?:{lost}) = \[[^\]]*\]\n", "", text, flags=re.MULTILINE))
    return folder


@pytest.mark.parametrize(
    ("lost", "wanted", "forms"),
    [
        ("module", "auto", {"full", "edit"}),
        ("module", "module", {"edit"}),
        ("edit", "auto", {"full", "module"}),
        ("edit", "edit", {"full"}),
        ("edit|module", "auto", {"full"}),
        ("edit|module", "module", {"full"}),
    ],
)
def test_a_form_the_pack_has_no_prompt_for_is_not_chosen(
    tmp_path: Path, lost: str, wanted: str, forms: set[str]
) -> None:
    assert chosen(context(edit_format=wanted), pack=str(without(tmp_path / "plain", lost))) == forms


def test_a_module_is_chosen_neither_for_what_names_no_parts_nor_in_a_chain() -> None:
    by_module = context(edit_format="module")
    assert chosen(by_module, Idea("Widen it.", IdeaKind.UPSCALE)) == {"edit"}
    assert chosen(by_module, Idea("", IdeaKind.MUTATED), stage="refine") == {"edit"}


@pytest.mark.parametrize(("lost", "other"), [("module", "edits"), ("edit|module", "whole files")])
def test_a_pack_without_the_prompt_is_said_in_a_line(tmp_path: Path, lost: str, other: str) -> None:
    folder = without(tmp_path / "plain", lost)
    said = f"Pack vision has no prompt mutation_module: the language model writes {other}."
    assert said_of(context(edit_format="module"), load_pack(str(folder))) == said
    assert said_of(context(), load_pack(str(folder))) == ""
    assert said_of(context(edit_format="module"), load_pack("vision")) == ""
    assert wanted_edit_format(context(edit_format="module")) == "module"


def test_a_wording_for_whole_files_beside_another_form_is_said_in_a_line() -> None:
    reworded = context(wording=WORDING, edit_format="module")
    said = "--prompts mutation is for whole files: the language model writes whole files."
    assert said_of(reworded, load_pack("vision", reworded.prompts)) == said
