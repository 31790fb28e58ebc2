"""Names of settings in earlier versions keep working, or are refused with their successor."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fairnad.roles import ROLES
from fairnad.settings.knowledge_settings import KnowledgeContext
from fairnad.settings.old_names import OLD_NAMES, STORED
from fairnad.settings.search_settings import RunContext

OLD_SETTINGS = """
run = "r"
splits = ""
mutation_prompt = ""
debug_prompt = "# User\\nRepair it."

[search]
max_debugs = 2
max_downscales = 4
judge_structure = true
single_use_above = 1.5
upscale_below = 0.9
mutation_target = true
max_barren_draws = 12
promote = "quick"
promote_one_in = 2

[llm]
model = ""
base_url = ""
models = []
temperature = 0.7

[agents]
repair = "learned"
lessons = true
library = 4
mutation_format = "edit"

[chat]
limit = 8
turns = 4

[lab]
streams_per_gpu = 2
output = 1000000.0
allow_weak_isolation = false
"""


def nested(name: str, value: object) -> dict[str, Any]:
    section, _, leaf = name.rpartition(".")
    return {section: {leaf: value}} if section else {leaf: value}


def test_settings_of_an_old_run_are_read() -> None:
    context = RunContext.model_validate(tomllib.loads(OLD_SETTINGS))
    assert context.prompts == {"debug": "# User\nRepair it."}
    assert (context.search.max_stalled_draws, context.agents.edit_format) == (12, "edit")
    assert (context.search.promote, context.search.promote_one_in) == ("quick/2", 2)
    assert context.search.promotion_recipes == ["quick"]
    assert context.search.ablate == ()
    assert context.llm.models == ()


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("search.max_debugs", 0, "debug"),
        ("search.max_debugs", "0", "debug"),
        ("search.max_downscales", 0, "downscale"),
        ("search.judge_structure", "false", "judge"),
        ("search.mutation_target", False, "target"),
        ("agents.lessons", False, "lessons"),
        ("agents.library", 0, "modules"),
        ("agents.repair", "always", "resample"),
    ],
)
def test_a_part_that_was_switched_off_is_ablated(name: str, value: object, part: str) -> None:
    assert RunContext.model_validate(nested(name, value)).search.ablate == (part,)


def test_several_old_names_add_up() -> None:
    given = {"search": {"max_debugs": 0, "judge_structure": False, "ablate": "target"}}
    assert set(RunContext.model_validate(given).search.ablate) == {"debug", "judge", "target"}


def test_a_build_without_a_tree_is_the_tree_none() -> None:
    assert not KnowledgeContext(unstructured=True).uses_tree  # type: ignore[call-arg]
    assert KnowledgeContext(unstructured=False).uses_tree  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("search.max_debugs", 3, "search.max_debugs is fixed at 2 now, found 3: search.ablate debug switches"),
        ("search.upscale_below", 0.8, "search.upscale_below is fixed at 0.9 now, found 0.8: it is the paper's value"),
        ("lab.allow_weak_isolation", "true", "found 'true': name the level that you accept: lab.isolation D or E"),
        ("splits", "elsewhere", "put the split files into the folder nasbench201-splits of the data folder"),
        ("lab.streams_per_gpu", 3, "lab.slots sets the number of trainings on all GPUs"),
    ],
)
def test_another_value_than_the_fixed_one_is_refused_in_one_line(name: str, value: object, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        RunContext.model_validate(nested(name, value))
    (error,) = caught.value.errors()
    assert message in error["msg"]
    assert "\n" not in error["msg"]


@pytest.mark.parametrize("name", OLD_NAMES)
def test_what_an_old_run_has_stored_is_never_refused(name: str) -> None:
    model = RunContext if "." in name or name == "splits" or name.endswith("_prompt") else KnowledgeContext
    value = (
        "llm"
        if name.partition(".")[2] in ROLES
        else "edit"
        if name == "agents.mutation_format"
        else 77
        if name == "search.max_barren_draws"
        else "77"
    )
    model.model_validate(nested(name, value), context=STORED)


def test_a_new_name_wins_over_an_old_one() -> None:
    given = {"search": {"max_barren_draws": 3, "max_stalled_draws": 5}}
    assert RunContext.model_validate(given).search.max_stalled_draws == 5


def test_the_table_names_no_current_setting() -> None:
    for name in OLD_NAMES:
        section, _, leaf = name.rpartition(".")
        field = RunContext.model_fields.get(section)
        fields = getattr(field.annotation, "model_fields", {}) if field is not None else {}
        assert leaf not in (fields if section else RunContext.model_fields), name


def test_old_runs_of_the_repository_open(tmp_path: Path) -> None:
    from store.run_folder import read_context

    (tmp_path / "settings.toml").write_text(OLD_SETTINGS)
    assert read_context(tmp_path).run == "r"


def test_a_prompt_that_no_pack_has_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValidationError, match="unknown prompt mutatoin; did you mean mutation"):
        RunContext(prompts={"mutatoin": "# User\nHello."})
