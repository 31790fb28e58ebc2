from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from fairnad.search.sampling import Fairness
from fairnad.settings.knowledge_settings import KnowledgeContext
from fairnad.settings.model_entries import LanguageModelSettings
from fairnad.settings.quantities import parse_quantity
from fairnad.settings.role_settings import AgentSettings
from fairnad.settings.search_settings import (
    EmbeddingSettings,
    LabSettings,
    LimitSettings,
    RunContext,
    SearchSettings,
    changed_settings,
)
from fairnad.settings.sections import CHANGEABLE
from graphs.cli import settings_parser

SECTIONS: dict[str, type[BaseModel]] = {
    "search": SearchSettings,
    "llm": LanguageModelSettings,
    "agents": AgentSettings,
    "embedding": EmbeddingSettings,
    "lab": LabSettings,
    "limit": LimitSettings,
}


def leaves() -> Iterator[tuple[str, FieldInfo]]:
    """Every single setting as ``section.name``."""
    for name, field in RunContext.model_fields.items():
        if name in SECTIONS:
            yield from ((f"{name}.{leaf}", info) for leaf, info in SECTIONS[name].model_fields.items())
        else:
            yield name, field


LEAVES = dict(leaves())
ALL = {name: field for model in (RunContext, KnowledgeContext) for name, field in settings_parser.leaves(model)}


def value_of(context: BaseModel, path: str) -> Any:
    for name in path.split("."):
        context = getattr(context, name)
    return context


def with_value(path: str, value: Any) -> RunContext:
    *section, leaf = path.split(".")
    return RunContext.model_validate({section[0]: {leaf: value}} if section else {leaf: value})


OTHER_VALUES: dict[str, Any] = {
    "llm.models": ({"model": "other"},),
    "agents.players": {"debugger": "builtin"},
    "search.ablate": ("judge",),
    "search.promote": "other",
    "prompts": {"mutation": "# User\nAnother."},
}


def another_value(path: str) -> Any:
    """A value that is allowed and not the default."""
    if path in OTHER_VALUES:
        return OTHER_VALUES[path]
    value, annotation = LEAVES[path].default, LEAVES[path].annotation
    if get_origin(annotation) is Literal:
        return next(choice for choice in get_args(annotation) if choice != value)
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1 if isinstance(value, int) or not value else value * 1.0625
        case None:
            return 1.0
        case tuple():
            return (*value, "other")
        case _:
            return f"{value}other"


class TestDefaults:
    def test_the_search_is_that_of_the_papers_evolution_parameters(self) -> None:
        search = SearchSettings()
        assert (search.initial, search.fair, search.pareto) == (8, 8, 8)
        assert (search.refine, search.refine_rounds) == (4, 2)
        assert (search.max_debugs, search.max_downscales, search.ablate) == (2, 4, ())
        assert search.fairness == "main"

    def test_open_questions_of_the_paper_are_settled_as_designed(self) -> None:
        search = SearchSettings()
        assert search.upscale_when == "any"
        assert (search.max_draws, search.max_stalled_draws) == (4, 24)

    @pytest.mark.parametrize("fairness", Fairness)
    def test_every_level_of_fairness_can_be_chosen(self, fairness: Fairness) -> None:
        assert SearchSettings(fairness=str(fairness)).fairness == fairness

    def test_a_run_is_named_after_task_and_seed_unless_it_has_a_name(self) -> None:
        assert RunContext(task="cifar10", seed=3).run_name == "cifar10-3"
        assert RunContext(run="mine", task="cifar10").run_name == "mine"

    def test_settings_cannot_be_changed_afterwards(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            RunContext().seed = 1


class TestQuantities:
    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("1500000", 1_500_000),
            ("1.5M", 1_500_000),
            ("1.5m", 1_500_000),
            ("1.5e6", 1_500_000),
            ("1.5E+6", 1_500_000),
            ("15e-1M", 1_500_000),
            ("0.2G", 200_000_000),
            (".2g", 200_000_000),
            ("2.k", 2_000),
            (" 64 K ", 64_000),
        ],
    )
    def test_text_may_end_in_k_m_or_g(self, text: str, number: float) -> None:
        assert parse_quantity(text) == number
        assert RunContext(max_params=text).max_params == number

    @pytest.mark.parametrize(
        ("text", "number"), [("4.1M", 4_100_000), ("8.2M", 8_200_000), ("16.1k", 16_100), ("8.3G", 8_300_000_000)]
    )
    def test_a_limit_is_the_decimal_number_that_was_written(self, text: str, number: int) -> None:
        assert parse_quantity(text) == number

    @pytest.mark.parametrize("value", [1_500_000, 0.5, None, [1]])
    def test_what_is_no_text_passes_through(self, value: object) -> None:
        assert parse_quantity(value) is value

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "M",
            "many",
            "1.5T",
            "1.5MB",
            "1,5M",
            "-1M",
            "nan",
            "inf",
            "1 000",
            "1.2.3",
            ".",
            "1..5M",
        ],
    )
    def test_the_message_shows_what_is_expected_and_what_was_found(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"^expected a number such as 1500000, 1\.5M or 0\.2G, found ") as error:
            parse_quantity(text)
        assert str(error.value).endswith(repr(text))

    def test_a_limit_is_a_number(self) -> None:
        with pytest.raises(ValidationError, match="max_params"):
            RunContext(max_params=math.nan)

    @pytest.mark.parametrize("value", [0, "0", "0M", -1])
    def test_a_limit_is_above_zero(self, value: float | str) -> None:
        with pytest.raises(ValidationError, match="greater than 0"):
            RunContext(max_params=value)


class TestRefusals:
    @pytest.mark.parametrize("section", ["", *SECTIONS])
    def test_an_unknown_key_is_refused_in_every_section(self, section: str) -> None:
        unknown: dict[str, Any] = {"colour": "red"}
        with pytest.raises(ValidationError, match=r"colour\n +Extra inputs are not permitted"):
            RunContext.model_validate({section: unknown} if section else unknown)

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("archs", 0),
            ("seed", -1),
            ("epochs", -1),
            ("grace_seconds", -1),
            ("search.initial", -1),
            ("search.refine_rounds", 0),
            ("search.max_draws", 0),
            ("search.max_stalled_draws", 0),
            ("search.promote", "nasbench201/1"),
            ("search.upscale_when", "some"),
            ("search.fairness", "fair"),
            ("llm.timeout_seconds", 0),
            ("agents.players", {"mutator": "nobody"}),
            ("agents.players", {"nobody": "llm"}),
            ("prompts", {"nobody": "# User"}),
            ("lab.slots", -1),
            ("lab.device", "tpu"),
            ("lab.isolation", "F"),
            ("lab.train_seconds", 0),
            ("lab.memory", "0G"),
        ],
    )
    def test_a_value_out_of_range_is_refused_under_its_name(self, path: str, value: object) -> None:
        with pytest.raises(ValidationError) as error:
            with_value(path, value)
        assert [".".join(map(str, problem["loc"])) for problem in error.value.errors()] == [path]

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("search.initial", 0),
            ("search.confirm_seeds", 0),
        ],
    )
    def test_the_ends_of_a_range_are_allowed(self, path: str, value: float) -> None:
        assert value_of(with_value(path, value), path) == value

    def test_generations_that_would_draw_nothing_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="at least one of fair, pareto and refine"):
            SearchSettings(fair=0, pareto=0, refine=0)

    @pytest.mark.parametrize("stage", ["fair", "pareto", "refine"])
    def test_one_stage_is_enough(self, stage: str) -> None:
        counts = {"fair": 0, "pareto": 0, "refine": 0, stage: 1}
        assert value_of(SearchSettings.model_validate(counts), stage) == 1


class TestResuming:
    @pytest.mark.parametrize("path", LEAVES)
    def test_a_change_is_named_by_its_flag_unless_it_is_free(self, path: str) -> None:
        old, new = RunContext(), with_value(path, another_value(path))
        before, after = value_of(old, path), value_of(new, path)
        assert before != after
        if path == "llm.models":
            assert changed_settings(old, new) == ["--llm.model (was , now other)"]
            return
        if path == "agents.players":
            assert changed_settings(old, new) == ["--agents.players debugger (was auto, now builtin)"]
            assert changed_settings(old, with_value(path, {"librarian": "llm"})) == []
            return
        free = LEAVES[path].json_schema_extra == CHANGEABLE or path in ("run", "runs")
        flag = path.replace("_", "-")
        assert changed_settings(old, new) == ([] if free else [f"--{flag} (was {before}, now {after})"])

    @pytest.mark.parametrize(
        "path",
        [
            "archs",
            "grace_seconds",
            "run",
            "runs",
            "lab.slots",
            "lab.validate_every",
            "lab.address",
            "llm.timeout_seconds",
            "llm.max_retries",
            "embedding.model",
            "embedding.base_url",
            "search.max_stalled_draws",
            "pin",
            "ban",
            "review",
            "lab.isolation",
        ],
    )
    def test_what_decides_only_when_or_where_to_work_is_free(self, path: str) -> None:
        assert changed_settings(RunContext(), with_value(path, another_value(path))) == []

    @pytest.mark.parametrize(
        "path",
        [
            "task",
            "seed",
            "base",
            "recipe",
            "epochs",
            "image_size",
            "max_params",
            "max_flops",
            "pack",
            "ideas",
            "search.fair",
            "search.fairness",
            "search.max_draws",
            "llm.models",
            "lab.device",
            "lab.source_policy",
            "lab.threads",
            "lab.precision",
            "lab.compile",
        ],
    )
    def test_what_decides_what_is_found_is_refused(self, path: str) -> None:
        assert len(changed_settings(RunContext(), with_value(path, another_value(path)))) == 1

    def test_all_changes_are_named_in_the_order_of_the_settings(self) -> None:
        old = RunContext(seed=1, archs=8)
        new = RunContext(seed=2, archs=9, search=SearchSettings(max_draws=1), lab=LabSettings(slots=3, device="cpu"))
        assert changed_settings(old, new) == [
            "--seed (was 1, now 2)",
            "--search.max-draws (was 4, now 1)",
            "--lab.device (was auto, now cpu)",
        ]

    def test_another_way_to_write_a_value_is_no_change(self) -> None:
        assert changed_settings(with_value("max_params", "1.5M"), with_value("max_params", 1_500_000)) == []


class TestCount:
    def test_there_are_at_most_84_settings(self) -> None:
        assert len(ALL) <= 84, f"{len(ALL)}: {', '.join(sorted(ALL))}"

    def test_each_setting_is_described_in_a_short_sentence(self) -> None:
        for name, field in ALL.items():
            assert 0 < len(field.description or "") <= 220, name
            assert not (field.description or "").endswith("."), name


def changes() -> st.SearchStrategy[dict[str, Any]]:
    """Settings as a user would write them, with finite numbers of every size."""
    quantities = st.one_of(
        st.none(),
        st.floats(min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False),
        st.builds("{:.3f}{}".format, st.floats(0.001, 999), st.sampled_from(["", "k", "M", "G"])),
    )
    counts = st.integers(1, 2**40)
    search = {
        "initial": counts,
        "fairness": st.sampled_from([*map(str, Fairness)]),
    }
    return st.fixed_dictionaries(
        {},
        optional={
            "run": st.text(),
            "archs": counts,
            "seed": st.integers(0, 2**70),
            "max_params": quantities,
            "max_flops": quantities,
            "search": st.fixed_dictionaries({}, optional=search),
            "llm": st.fixed_dictionaries({}, optional={"model": st.text(), "temperature": st.floats(0, 2)}),
            "lab": st.fixed_dictionaries({}, optional={"memory": st.sampled_from(["8G", "512M", 1e9])}),
        },
    )


class TestJson:
    @given(changes())
    def test_a_context_survives_json(self, given_settings: dict[str, Any]) -> None:
        context = RunContext.model_validate(given_settings)
        assert RunContext.model_validate_json(context.model_dump_json()) == context
        assert RunContext.model_validate(json.loads(json.dumps(context.model_dump(mode="json")))) == context

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("max_params", "1e400"),
            ("max_flops", math.inf),
            ("grace_seconds", math.inf),
            ("lab.train_seconds", math.inf),
        ],
    )
    def test_a_number_that_json_cannot_hold_is_refused(self, path: str, value: float | str) -> None:
        with pytest.raises(ValidationError):
            with_value(path, value)

    def test_a_form_can_be_made_of_the_settings(self) -> None:
        schema = json.loads(json.dumps(RunContext.model_json_schema()))
        assert set(schema["properties"]) == set(RunContext.model_fields)
        assert all("description" in field for field in schema["properties"].values())
