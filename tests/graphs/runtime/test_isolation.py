"""Below level C a language model's code runs only where the user says so."""

import pytest

from fairnad.errors import SettingsError
from fairnad.settings.model_entries import LanguageModelSettings
from fairnad.settings.search_settings import AgentSettings, LabSettings, RunContext
from graphs.runtime.isolation import isolation_text, refuse_weak_isolation
from tools.sandbox.isolation import Level

BY_MODEL = RunContext(llm=LanguageModelSettings(model="m"))
ACCEPTED = {
    level: RunContext(llm=LanguageModelSettings(model="m"), lab=LabSettings(isolation=str(level))) for level in Level
}
BUILT_IN = RunContext()


@pytest.mark.parametrize("level", ["D", "E"])
def test_a_models_code_is_refused_below_c_and_the_line_says_what_to_do(level: str) -> None:
    with pytest.raises(SettingsError) as caught:
        refuse_weak_isolation(BY_MODEL, Level(level))
    message = str(caught.value)
    assert message.startswith(f"--lab.isolation: expected at least C for code a language model writes, found {level} (")
    assert message.endswith(f"see docs/isolation.md, or accept this level with --lab.isolation {level}")


def test_one_role_played_by_a_model_is_enough() -> None:
    agents = AgentSettings(
        players=dict.fromkeys(("mutator", "idea_mutator", "downscaler", "structural_judge"), "builtin")
    )
    with pytest.raises(SettingsError):
        refuse_weak_isolation(BY_MODEL.model_copy(update={"agents": agents}), Level.E)


@pytest.mark.parametrize("level", Level)
def test_built_in_roles_and_users_who_name_the_level_go_on(level: Level) -> None:
    refuse_weak_isolation(BUILT_IN, level)
    refuse_weak_isolation(ACCEPTED[level], level)


@pytest.mark.parametrize("level", ["A", "B", "C"])
def test_a_models_code_runs_at_c_and_above(level: str) -> None:
    refuse_weak_isolation(BY_MODEL, Level(level))


def test_a_search_reports_its_isolation_in_one_line() -> None:
    assert isolation_text(BY_MODEL, Level.A) == "Isolation A: bubblewrap, Landlock, seccomp, limits."
    assert isolation_text(BUILT_IN, Level.E) == (
        "Isolation E: limits only; files can be read and written; built-in roles write the code. See docs/isolation.md."
    )
    assert isolation_text(ACCEPTED[Level.D], Level.D) == (
        "Isolation D: seccomp, limits; files can be read; accepted with --lab.isolation D. See docs/isolation.md."
    )
    free = RunContext(lab=LabSettings(source_policy=False))
    assert isolation_text(free, Level.C).endswith("limits; the source policy is off.")
