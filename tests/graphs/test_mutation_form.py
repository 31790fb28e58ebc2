"""Which form mutations are written in, from the settings to the draw."""

import re
import shutil
from pathlib import Path

import pytest

from fairnad.attributes import Granularity, Tag, Target
from fairnad.candidate import CandidateId
from fairnad.form_choice import FORMS
from fairnad.history import History
from fairnad.ideas import Idea
from fairnad.settings import RunContext
from graphs.choosing import choose
from graphs.roles import form_text, mutation_form
from prompts.loader import load_pack

IDEA = Idea("Gate it.", tag=Tag(Target.PERFORMANCE, Granularity.BLOCK, "gates"))
ORDER = Idea("Reorder it.", tag=Tag(Target.PERFORMANCE, Granularity.NETWORK, "order"))


def context(*, model: str = "small", wording: str = "", **agents: str) -> RunContext:
    return RunContext.model_validate({"llm": {"model": model}, "agents": agents, "mutation_prompt": wording})


def chosen(settings: RunContext, idea: Idea = IDEA) -> set[str]:
    places = [CandidateId.parse(f"g01-fair-r1-s{slot:02d}-d0") for slot in range(40)]
    forms = [choose(settings, History(), place, idea).form for place in places]
    assert forms == [choose(settings, History(), place, idea).form for place in places]
    return set(forms)


@pytest.mark.parametrize(
    ("settings", "forms"),
    [
        (context(), set(FORMS)),
        (context(mutation_format="edit"), {"edit"}),
        (context(mutation_format="module"), {"module"}),
        (context(mode="paper"), {"full"}),
        (context(mode="paper", mutation_format="edit"), {"full"}),
        (context(wording="# System\n# User\n"), {"full"}),
        (context(model=""), {""}),
        (context(mutator="builtin"), {""}),
    ],
)
def test_the_form_is_chosen_at_the_draw(settings: RunContext, forms: set[str]) -> None:
    assert chosen(settings) == forms


def test_ideas_for_the_network_as_a_whole_are_written_as_whole_files() -> None:
    assert chosen(context(), ORDER) == {"full"}


@pytest.mark.parametrize(("lost", "other"), [("module", "edits"), ("edit|module", "whole files")])
def test_a_pack_without_the_prompt_is_said_in_a_line(tmp_path: Path, lost: str, other: str) -> None:
    folder = Path(shutil.copytree(load_pack("vision").folder, tmp_path / "plain"))
    text = (folder / "pack.toml").read_text()
    (folder / "pack.toml").write_text(re.sub(rf"^\w+_(?:{lost}) = \[[^\]]*\]\n", "", text, flags=re.MULTILINE))
    said = f"Pack vision has no prompt mutation_module: the language model writes {other}."
    assert form_text(context(mutation_format="module"), load_pack(str(folder))) == said
    assert form_text(context(), load_pack(str(folder))) == ""
    assert form_text(context(mutation_format="module"), load_pack("vision")) == ""
    assert mutation_form(context(mutation_format="module")) == "module"
