"""The settings of a search with their defaults (paper Table 5). JSON only: they are also LangGraph's run context."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator

from fairnad.domain.recipe import Precision
from fairnad.roles import ROLES, templates_of
from fairnad.settings.model_entries import LanguageModelSettings, ModelEntry, decisive
from fairnad.settings.old_names import update_names
from fairnad.settings.quantities import Quantity
from fairnad.settings.role_settings import AgentSettings
from fairnad.settings.sections import CHANGEABLE, Section

Integrity = Literal["reject", "warn", "off"]
Part = Literal["debug", "downscale", "judge", "target", "lessons", "modules", "resample"]

MAX_DEBUGS = 2
"""Repairs of a candidate that does not run (paper Table 5)."""
MAX_DOWNSCALES = 4
"""Reductions of a candidate over its limits (paper Table 5)."""
PROMOTE_ONE_IN = 4
_MAX_SHOWN = 60
_MAX_NAME = 40
"""Characters of a run's name that come from a folder's name."""


class SearchSettings(Section):
    """The search itself."""

    schedule: Literal["generational", "steady"] = Field(
        "generational",
        description="generational: stage after stage, as in the paper; steady: slots never wait for a stage to end",
    )
    initial: int = Field(8, ge=0, description="candidates made from the base before the first generation (k0)")
    fair: int = Field(8, ge=0, description="parents in stage I, mutation with fair idea sampling (k1)")
    pareto: int = Field(8, ge=0, description="parents in stage II, Pareto-aware mutation (k2)")
    refine: int = Field(4, ge=0, description="parents in stage III, iterative refinement (k3)")
    refine_rounds: int = Field(2, ge=1, description="rounds of stage III for each parent (d)")
    ablate: tuple[Part, ...] = Field(
        (),
        description="parts to switch off: debug, downscale, judge, target (the mutation target in prompts), lessons "
        "(earlier results in prompts), modules (the module library), resample (giving up instead of a repair)",
    )
    scale_base: Literal["auto", "always", "never"] = Field(
        "auto",
        description="widen the base to just below its limits before the search; auto: yes, except for the paper's "
        "tasks, in paper mode, and with --base",
    )
    upscale_when: Literal["any", "all"] = Field(
        "any", description="scale a parent up if any budget, or all budgets, are used by less than 90%"
    )
    fairness: Literal["none", "granularity", "main", "sub"] = Field(
        "main", description="level of the attribute tree at which ideas are drawn fairly"
    )
    max_draws: int = Field(4, ge=1, description="draws of a slot until one trains")
    max_stalled_draws: int = Field(
        24,
        ge=1,
        description="stop after this many draws in a row without a trained candidate",
        json_schema_extra=CHANGEABLE,
    )
    finalists: int = Field(3, ge=1, description="best candidates that are retrained with fresh seeds at the end")
    confirm_seeds: int = Field(
        3, ge=0, description="fresh seeds for base and finalists; 0: no finals and no result folder"
    )
    promote: str = Field(
        "",
        description="recipes that retrain the best quarter after a cheap search, separated by commas; /N at the end: "
        "one candidate in N",
    )

    @field_validator("promote")
    @classmethod
    def _has_a_share(cls, promote: str) -> str:
        if not re.fullmatch(r"[^/]*(/([2-9]|[1-9][0-9]+))?", promote):
            raise ValueError(
                f"expected recipes separated by commas, with an optional /N of 2 or more, found {promote!r}"
            )
        return promote

    @model_validator(mode="after")
    def _can_go_on(self) -> Self:
        if self.fair + self.pareto + self.refine == 0:
            raise ValueError(
                "expected at least one of fair, pareto and refine above 0: no generation would draw anything"
            )
        return self

    @property
    def max_debugs(self) -> int:
        """Repairs of a candidate that does not run."""
        return 0 if "debug" in self.ablate else MAX_DEBUGS

    @property
    def max_downscales(self) -> int:
        """Reductions of a candidate over its limits."""
        return 0 if "downscale" in self.ablate else MAX_DOWNSCALES

    @property
    def promotion_recipes(self) -> list[str]:
        """The recipes of ``promote``, in their order."""
        names = map(str.strip, self.promote.partition("/")[0].split(","))
        return [name for name in names if name]

    @property
    def promote_one_in(self) -> int:
        """One candidate in this many is promoted to the next recipe."""
        return int(self.promote.partition("/")[2] or PROMOTE_ONE_IN)


class LimitSettings(Section):
    """When a search stops early; the same command with a higher limit continues it."""

    usd: float | None = Field(
        None, gt=0, description="US dollars for language models; default: unlimited", json_schema_extra=CHANGEABLE
    )
    tokens: Quantity | None = Field(
        None,
        description="tokens of language models, for example 2M; default: unlimited",
        json_schema_extra=CHANGEABLE,
    )
    hours: float | None = Field(
        None, gt=0, description="working hours, all starts together; default: unlimited", json_schema_extra=CHANGEABLE
    )


class EmbeddingSettings(Section):
    """The model that makes vectors of ideas and questions. The key is read from OPENAI_API_KEY and never stored."""

    model: str = Field(
        "", description="embedding model; empty: hashed words, no download", json_schema_extra=CHANGEABLE
    )
    base_url: str = Field("", description="OpenAI-compatible endpoint with /embeddings", json_schema_extra=CHANGEABLE)


class LabSettings(Section):
    """Where generated code runs."""

    slots: int = Field(
        0, ge=0, description="parallel trainings; 0: two on each GPU, or one per core", json_schema_extra=CHANGEABLE
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="device of the trainings")
    threads: int = Field(1, ge=1, description="threads per training; another number changes the last digits")
    precision: Precision = Field("float32", description="of training passes; bfloat16: mixed precision")
    compile: bool = Field(False, description="train with torch.compile; needs a C++ compiler inside the sandbox")
    validate_every: int = Field(
        0,
        ge=0,
        description="also validate after every N epochs, for display; 0: only after the last",
        json_schema_extra=CHANGEABLE,
    )
    address: str = Field(
        "",
        description="Ray cluster to train on: auto, host:port or ray://host:port; empty: this machine",
        json_schema_extra=CHANGEABLE,
    )
    check_seconds: float = Field(20, gt=0, description="time limit of a check")
    train_seconds: float = Field(
        86400, gt=0, description="limit of a training in processor seconds; its time limit is four times as long"
    )
    memory: Quantity = Field(8e9, description="bytes of memory per job")
    isolation: Literal["auto", "A", "B", "C", "D", "E"] = Field(
        "auto",
        description="isolation level of jobs, A is the strongest; auto: the strongest available, at least C for code "
        "of a language model; D or E: accept this weak level",
        json_schema_extra=CHANGEABLE,
    )
    source_policy: bool = Field(
        True, description="refuse sources by their text before they run; false: for tests and diagnosis"
    )
    integrity: Integrity = Field(
        "reject", description="candidates with batch leakage, hidden weights and the like: reject, warn, or off"
    )


class RunContext(Section):
    """All settings of a run."""

    run: str = Field("", description="name of the run folder; empty: task and seed")
    runs: str = Field("runs", description="folder with all run folders")
    task: str = Field("digits", description="data set; folder: your own images")
    data: str = Field("data", description="folder with the data sets; with task folder, your images by class")
    split_seed: int = Field(0, ge=0, description="seed of the split of your own images")
    image_size: int = Field(0, ge=0, description="side of the images in pixels; 0: the task's default")
    flip: float | None = Field(
        None, ge=0, le=1, description="fraction of training images that are mirrored; default: the task's"
    )
    base: str = Field("", description="base model: a name of the pack or a Python file; empty: the task's default")
    recipe: str = Field("", description="training recipe; empty: the task's default")
    epochs: int = Field(0, ge=0, description="epochs per training; 0: the recipe's default")
    archs: int = Field(32, ge=1, description="number of candidates to train", json_schema_extra=CHANGEABLE)
    seed: int = Field(0, ge=0, description="random seed")
    max_params: Quantity | None = Field(
        None, description="limit on parameters, for example 1.5M; default: the task's limit or 4× the base model"
    )
    max_flops: Quantity | None = Field(
        None, description="limit on multiply-adds per image, for example 0.2G; default: like --max-params"
    )
    max_latency_ms: Quantity | None = Field(
        None, description="limit on measured milliseconds per image; default: unlimited"
    )
    max_activation_memory: Quantity | None = Field(
        None, description="limit on bytes of intermediate results per image; default: unlimited"
    )
    pack: str = Field("vision", description="prompt pack: a name or a folder")
    ideas: str = Field("", description="knowledge folder or idea file (JSON lines); empty: the pack's ideas")
    pin: tuple[str, ...] = Field(
        (), description="draw ideas only from these categories (name or path)", json_schema_extra=CHANGEABLE
    )
    ban: tuple[str, ...] = Field(
        (), description="draw no idea from these categories (name or path)", json_schema_extra=CHANGEABLE
    )
    review: Literal["none", "ideas", "candidates"] = Field(
        "none", description="what you approve, edit or reject before it is used", json_schema_extra=CHANGEABLE
    )
    prompts: dict[str, str] = Field(
        {},
        description="your wordings of prompts of the pack, each NAME=FILE, for example mutation=my.md",
    )
    grace_seconds: float = Field(
        20,
        ge=0,
        description="seconds until jobs are killed after Ctrl-C or SIGTERM",
        json_schema_extra=CHANGEABLE,
    )
    search: SearchSettings = Field(SearchSettings(), description="the search")
    llm: LanguageModelSettings = Field(LanguageModelSettings(), description="language models")
    limit: LimitSettings = Field(LimitSettings(), description="when the search stops early")
    agents: AgentSettings = Field(AgentSettings(), description="who plays each role")
    embedding: EmbeddingSettings = Field(EmbeddingSettings(), description="vectors of ideas and questions")
    lab: LabSettings = Field(LabSettings(), description="where generated code runs")

    @field_validator("prompts")
    @classmethod
    def _are_known(cls, prompts: dict[str, str]) -> dict[str, str]:
        known = templates_of("search")
        for name in prompts:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
                advice = f"did you mean {near[0]}?" if near else f"expected some of {', '.join(known)}"
                raise ValueError(f"unknown prompt {name}; {advice}")
        return {name: text for name, text in prompts.items() if text}

    @model_validator(mode="before")
    @classmethod
    def _update_names(cls, given: Any, info: ValidationInfo) -> Any:
        return update_names(given, info)

    @model_validator(mode="after")
    def _can_be_reviewed(self) -> Self:
        if self.search.schedule == "steady" and self.review == "candidates":
            raise ValueError(
                "expected --search.schedule generational beside --review candidates, found steady: a candidate that "
                "waits for a person would hold up the others; --review ideas works with both"
            )
        return self

    @property
    def paper_mode(self) -> bool:
        """Whether language models work as in the paper: in every role, without anything learned from the run."""
        return self.agents.mode == "paper"

    @property
    def run_name(self) -> str:
        """The given name, or task and seed; for your own images, the folder's name and the seed."""
        return self.run or f"{self._task_name}-{self.seed}"

    @property
    def _task_name(self) -> str:
        if self.task != "folder":
            return self.task
        name = re.split(r"[/\\]+", self.data.rstrip("/\\"))[-1]
        return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:_MAX_NAME] or self.task


def changed_settings(old: RunContext, new: RunContext) -> list[str]:
    """Flags whose values differ although a resumed run may not change them; see :data:`CHANGEABLE`."""
    return [
        f"--{name.replace('_', '-')} (was {_shorten(before)}, now {_shorten(after)})"
        for name, before, after in _differences(old, new)
        if name not in ("run", "runs")
    ]


def _differences(old: BaseModel, new: BaseModel, prefix: str = "") -> Iterator[tuple[str, object, object]]:
    for name, field in type(old).model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        if name == "models":
            yield from _model_differences(decisive(before), decisive(after))
        elif name == "players":
            for role in (role.name for role in ROLES.values() if role.graph == "search"):
                if (one := before.get(role, "auto")) != (other := after.get(role, "auto")):
                    yield f"agents.players {role}", one, other
        elif isinstance(before, BaseModel):
            yield from _differences(before, after, f"{prefix}{name}.")
        elif before != after and field.json_schema_extra != CHANGEABLE:
            yield f"{prefix}{name}", before, after


def _model_differences(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Any, Any]]:
    if len(old) == len(new) == 1 and old[0]["model"] == new[0]["model"]:
        for name, field in ModelEntry.model_fields.items():
            before, after = (entry.get(name, field.default) for entry in (old[0], new[0]))
            if before != after:
                yield f"llm.{name}", before, after
    elif old != new:
        titles = (", ".join(entry["name"] for entry in entries) for entries in (old, new))
        before, after = titles
        yield ("llm.model", before, after) if before != after else ("llm.models", list(old), list(new))


def _shorten(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"
