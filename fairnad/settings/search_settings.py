"""Every knob of a search, with its default (paper Table 5). JSON-only: it is also LangGraph's run context."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from fairnad.domain.recipe import Precision
from fairnad.settings.model_entries import JsonSchemaUse, ModelChoice, ModelEntry, decisive
from fairnad.settings.quantities import Quantity

_SHARED = ("temperature", "max_tokens", "concurrency", "json_schema")
"""Settings of the language model that hold for each of several models, unless its entry says otherwise."""

Implementation = Literal["auto", "llm", "builtin"]
MixedImplementation = Literal["auto", "llm", "builtin", "llm-then-builtin", "builtin-then-llm"]
JudgeImplementation = Literal["auto", "llm", "builtin", "llm-then-builtin", "builtin-then-llm", "both"]
Integrity = Literal["reject", "warn", "off"]

_MAX_SHOWN = 60


def _prompt(role: str, nodes: tuple[str, ...]) -> Any:
    """A prompt of the pack that can be given another wording; LangGraph Studio shows it at its nodes."""
    return Field(
        "",
        title=f"{role} prompt".capitalize(),
        description=f"another wording of the pack's {role} prompt, with '# System' and '# User'; empty: the pack's",
        json_schema_extra={"langgraph_nodes": list(nodes), "langgraph_type": "prompt"},
    )


_MAX_NAME = 40
"""Characters of a run's name that come from a folder's name."""

CHANGEABLE: JsonDict = {"changeable": True}
"""Marks a setting that may differ when a run is resumed: it decides when to stop, not what is found."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SearchSettings(_Section):
    """The search itself."""

    schedule: Literal["generational", "steady"] = Field(
        "generational",
        description="generational: stage after stage, as in the paper; steady: slots never wait for a stage to end",
    )
    initial: int = Field(8, ge=0, description="candidates made from the base before the first generation (k0)")
    fair: int = Field(8, ge=0, description="parents of stage I, mutation with fair idea sampling (k1)")
    pareto: int = Field(8, ge=0, description="parents of stage II, Pareto-aware mutation (k2)")
    refine: int = Field(4, ge=0, description="parents of stage III, iterative refinement (k3)")
    refine_rounds: int = Field(2, ge=1, description="rounds of stage III for each parent (d)")
    max_debugs: int = Field(2, ge=0, description="repairs of a candidate that does not run; 0 ablates them")
    max_downscales: int = Field(4, ge=0, description="reductions of a candidate over budget; 0 ablates them")
    judge_structure: bool = Field(True, description="ask the structural judge; false ablates it")
    single_use_above: float = Field(
        1.5, ge=1, description="above this multiple of a limit the added module is used once"
    )
    scale_base: Literal["auto", "always", "never"] = Field(
        "auto",
        description="widen the base to just below its limits before the search; auto: unless the task or the mode is "
        "the paper's, or --base is given",
    )
    upscale_below: float = Field(0.9, gt=0, le=1, description="below this fraction of a limit a parent is scaled up")
    upscale_when: Literal["any", "all"] = Field("any", description="how many budgets must have that room")
    fairness: Literal["none", "granularity", "main", "sub"] = Field(
        "main", description="level of the attribute tree ideas are drawn fairly over"
    )
    mutation_target: bool = Field(True, description="name the mutation target in the prompt; false ablates it")
    max_draws: int = Field(4, ge=1, description="draws a slot may spend until one trains")
    max_barren_draws: int = Field(
        24,
        ge=1,
        description="draws in a row without one that trains, until the search stops",
        json_schema_extra=CHANGEABLE,
    )
    finalists: int = Field(3, ge=1, description="best candidates that are retrained with fresh seeds at the end")
    confirm_seeds: int = Field(3, ge=0, description="fresh seeds base and finalists are retrained with; 0: no result")
    promote: str = Field("", description="recipes the best of a cheap search are trained again by, a comma between")
    promote_one_in: int = Field(4, ge=2, description="one candidate in this many is promoted to the next recipe")

    @model_validator(mode="after")
    def _can_go_on(self) -> Self:
        if self.fair + self.pareto + self.refine == 0:
            raise ValueError(
                "expected at least one of fair, pareto and refine above 0: no generation would draw anything"
            )
        return self


class LimitSettings(_Section):
    """When a search stops before it is done; the same command with a higher limit goes on."""

    usd: float | None = Field(
        None, gt=0, description="US dollars its calls may cost; default: any", json_schema_extra=CHANGEABLE
    )
    tokens: Quantity | None = Field(
        None,
        description="tokens its calls may read and write, for example 2M; default: any",
        json_schema_extra=CHANGEABLE,
    )
    hours: float | None = Field(
        None, gt=0, description="hours it may work, all starts together; default: any", json_schema_extra=CHANGEABLE
    )


class LanguageModelSettings(_Section):
    """The language model. The key is read from OPENAI_API_KEY and never stored."""

    model: str = Field("", description="model name; empty: built-in roles, no language model")
    base_url: str = Field("", description="OpenAI-compatible endpoint", json_schema_extra=CHANGEABLE)
    models: tuple[ModelEntry, ...] = Field(
        (), description="several models or endpoints, in place of model and base-url: JSON, or a YAML or JSON file"
    )
    choice: ModelChoice = Field("weights", description="how one of several models is chosen for a candidate")
    json_schema: JsonSchemaUse = Field(
        "auto", description="replies that are data by JSON schema; auto: if taken", json_schema_extra=CHANGEABLE
    )
    requests_per_minute: int = Field(
        0, ge=0, description="requests a minute; 0: as many as there are", json_schema_extra=CHANGEABLE
    )
    tokens_per_minute: int = Field(
        0, ge=0, description="tokens a minute, of prompts and replies; 0: as many", json_schema_extra=CHANGEABLE
    )
    temperature: float = Field(0.7, ge=0, le=2, description="sampling temperature")
    max_tokens: int = Field(8192, ge=16, description="tokens a reply may have", json_schema_extra=CHANGEABLE)
    timeout_seconds: float = Field(
        300, gt=0, description="seconds of silence until a call is given up", json_schema_extra=CHANGEABLE
    )
    max_retries: int = Field(
        4, ge=0, description="retries of a call after a passing fault", json_schema_extra=CHANGEABLE
    )
    concurrency: int = Field(8, ge=1, description="calls at a time", json_schema_extra=CHANGEABLE)
    price_input: float = Field(
        0.0, ge=0, description="US dollars a million tokens read cost; 0: unknown", json_schema_extra=CHANGEABLE
    )
    price_output: float = Field(
        0.0, ge=0, description="US dollars a million tokens written cost; 0: unknown", json_schema_extra=CHANGEABLE
    )
    replay: str = Field(
        "",
        description="answer from the calls another run recorded, without an endpoint: its name, folder or llm.jsonl",
        json_schema_extra=CHANGEABLE,
    )

    @model_validator(mode="before")
    @classmethod
    def _hand_down(cls, given: Any) -> Any:
        """What an entry of ``models`` leaves open is as it is given for all."""
        if not isinstance(given, dict) or not isinstance(given.get("models"), list | tuple):
            return given
        shared = {name: given[name] for name in _SHARED if name in given}
        models = [{**shared, **entry} if isinstance(entry, dict) else entry for entry in given["models"]]
        return {**given, "models": models}

    @model_validator(mode="after")
    def _is_one_or_several(self) -> Self:
        if self.models and (self.model or self.base_url):
            raise ValueError("expected --llm.models, or --llm.model with --llm.base-url, found both: leave one out")
        models = {entry.title: entry.model for entry in self.models}
        for entry in self.models:
            if entry.model != models[entry.title]:
                found = f"{entry.model} and {models[entry.title]}"
                raise ValueError(f"expected one model of the name {entry.title}, found {found}: give each its own name")
        return self

    @property
    def entries(self) -> tuple[ModelEntry, ...]:
        """Every model at every endpoint; none where no language model is configured."""
        if not self.model:
            return self.models
        shared = {name: getattr(self, name) for name in ModelEntry.model_fields if name in type(self).model_fields}
        return (ModelEntry(**shared),)

    @property
    def title(self) -> str:
        """The names of all models, empty where no language model is configured."""
        return ", ".join(dict.fromkeys(entry.title for entry in self.entries))


class AgentSettings(_Section):
    """Who plays each role; auto: as ``mode`` says where a language model is configured, else built in."""

    mode: Literal["best", "paper"] = Field(
        "best", description="best: the mix of roles that wastes least; paper: a language model in every role, as it is"
    )
    mutator: MixedImplementation = Field("auto", description="carries an idea out")
    idea_mutator: MixedImplementation = Field("auto", description="makes the ideas of stage III")
    debugger: MixedImplementation = Field("auto", description="mends what does not run")
    downscaler: MixedImplementation = Field("auto", description="brings a candidate under its budgets")
    structural_judge: JudgeImplementation = Field("auto", description="decides whether the architecture has changed")
    repair: Literal["always", "learned"] = Field(
        "learned", description="what does not run is repaired, or drawn anew where that was learned to bring more"
    )
    lessons: bool = Field(True, description="show the mutators what earlier ideas of the category came to")
    library: int = Field(
        4, ge=0, le=20, description="checked modules the mutator is offered to compose from, by what they do; 0: none"
    )
    mutation_format: Literal["full", "edit", "module", "auto"] = Field(
        "auto",
        description="how a language model writes a mutation: the whole file, edits of the parent, or a new module "
        "alone, which the program places; auto: whichever has done best",
    )
    librarian: Implementation = Field(
        "auto", description="understands and answers questions", json_schema_extra=CHANGEABLE
    )


class EmbeddingSettings(_Section):
    """What makes vectors of ideas and questions. The key is read from OPENAI_API_KEY and never stored."""

    model: str = Field(
        "", description="embedding model; empty: hashed words, no download", json_schema_extra=CHANGEABLE
    )
    base_url: str = Field("", description="OpenAI-compatible endpoint with /embeddings", json_schema_extra=CHANGEABLE)


class ChatSettings(_Section):
    """Questions about ideas and runs."""

    limit: int = Field(8, ge=1, le=50, description="ideas or candidates in an answer", json_schema_extra=CHANGEABLE)
    turns: int = Field(4, ge=0, description="earlier questions a question may refer to", json_schema_extra=CHANGEABLE)


class LabSettings(_Section):
    """Where generated code runs."""

    slots: int = Field(0, ge=0, description="trainings at a time; 0: as fit", json_schema_extra=CHANGEABLE)
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where candidates are trained")
    streams_per_gpu: int = Field(
        2, ge=1, description="trainings that share a GPU (paper §5.1)", json_schema_extra=CHANGEABLE
    )
    threads: int = Field(1, ge=1, description="threads of a training; they change its numbers in the last digits")
    precision: Precision = Field("float32", description="of training passes; bfloat16: mixed precision")
    compile: bool = Field(False, description="train by torch.compile; needs a C++ compiler that jobs may run")
    validate_every: int = Field(
        0,
        ge=0,
        description="validate after every so many epochs, to be looked at only; 0: after the last",
        json_schema_extra=CHANGEABLE,
    )
    address: str = Field(
        "",
        description="Ray cluster to train on: auto, host:port or ray://host:port; empty: this machine",
        json_schema_extra=CHANGEABLE,
    )
    check_seconds: float = Field(20, gt=0, description="wall-clock limit of a check")
    train_seconds: float = Field(
        86400, gt=0, description="limit of a training in processor seconds; by the wall clock it is four times that"
    )
    memory: Quantity = Field(8e9, description="bytes of memory a job may take beyond the warm server's own")
    output: Quantity = Field(1e6, description="bytes a job may print before it is killed")
    isolation: Literal["auto", "A", "B", "C", "D", "E"] = Field(
        "auto", description="how jobs are shut in, A is best; auto: the best there is", json_schema_extra=CHANGEABLE
    )
    allow_weak_isolation: bool = Field(
        False,
        description="let a language model's code run at isolation D or E, where it can read your files",
        json_schema_extra=CHANGEABLE,
    )
    source_policy: bool = Field(
        True, description="refuse sources by their text before they run; false: for tests and diagnosis"
    )
    integrity: Integrity = Field(
        "reject", description="candidates with batch leakage, hidden weights and the like: refused, told, or not judged"
    )


class RunContext(_Section):
    """All that decides a run."""

    run: str = Field("", description="name of the run folder; empty: made of task and seed")
    runs: str = Field("runs", description="folder the run folders lie in")
    task: str = Field("digits", description="data set to search on")
    data: str = Field("data", description="folder the data sets lie in; with task folder that of the class folders")
    splits: str = Field(
        "", description="folder of the official NAS-Bench-201 split files; empty: nasbench201-splits in the data folder"
    )
    split_seed: int = Field(0, ge=0, description="seed of the split where own images come in none")
    image_size: int = Field(0, ge=0, description="side of the images in pixels; 0: the task's own")
    flip: float | None = Field(
        None, ge=0, le=1, description="share of training images that are mirrored; default: the task's"
    )
    base: str = Field("", description="base model: a name of the pack or a Python file; empty: the task's default")
    recipe: str = Field("", description="training recipe; empty: the task's default")
    epochs: int = Field(0, ge=0, description="epochs of a training; 0: the recipe's")
    archs: int = Field(32, ge=1, description="candidates to train", json_schema_extra=CHANGEABLE)
    seed: int = Field(0, ge=0, description="seed of everything random")
    max_params: Quantity | None = Field(None, description="limit on parameters, for example 1.5M; default: the task's")
    max_flops: Quantity | None = Field(None, description="limit on FLOPs (multiply-adds an image), for example 0.2G")
    max_latency_ms: Quantity | None = Field(
        None, description="limit on the milliseconds an image takes, measured in the lab; default: none"
    )
    max_activation_memory: Quantity | None = Field(
        None, description="limit on the bytes of intermediate results alive at once for an image; default: none"
    )
    pack: str = Field("vision", description="prompt pack: a name or a folder")
    ideas: str = Field("", description="knowledge folder or idea file (JSON lines); empty: the pack's")
    pin: tuple[str, ...] = Field(
        (),
        description="categories ideas are drawn from, all others rest; a name or a path",
        json_schema_extra=CHANGEABLE,
    )
    ban: tuple[str, ...] = Field(
        (), description="categories no idea is drawn from; a name or a path", json_schema_extra=CHANGEABLE
    )
    review: Literal["none", "ideas", "candidates"] = Field(
        "none", description="what a person approves, edits or refuses before it goes on", json_schema_extra=CHANGEABLE
    )
    mutation_prompt: str = _prompt("mutation", ("candidate", "mutate"))
    mutation_edit_prompt: str = _prompt("mutation edit", ("candidate", "mutate"))
    mutation_module_prompt: str = _prompt("mutation module", ("candidate", "mutate"))
    debug_prompt: str = _prompt("debug", ("candidate", "debug"))
    debug_edit_prompt: str = _prompt("debug edit", ("candidate", "debug"))
    downscale_prompt: str = _prompt("downscale", ("candidate", "downscale"))
    downscale_edit_prompt: str = _prompt("downscale edit", ("candidate", "downscale"))
    idea_mutation_improved_prompt: str = _prompt("idea mutation improved", ("candidate", "mutate"))
    idea_mutation_degraded_prompt: str = _prompt("idea mutation degraded", ("candidate", "mutate"))
    idea_mutation_edit_prompt: str = _prompt("idea mutation edit", ("candidate", "mutate"))
    structural_judge_prompt: str = _prompt("structural judge", ("candidate", "judge"))
    grace_seconds: float = Field(
        20, ge=0, description="seconds running jobs get after Ctrl-C or SIGTERM", json_schema_extra=CHANGEABLE
    )
    search: SearchSettings = Field(SearchSettings(), description="the search itself")
    llm: LanguageModelSettings = Field(LanguageModelSettings(), description="the language model")
    limit: LimitSettings = Field(LimitSettings(), description="when to stop before the search is done")
    agents: AgentSettings = Field(AgentSettings(), description="who plays each role")
    embedding: EmbeddingSettings = Field(EmbeddingSettings(), description="the vectors ideas are searched by")
    chat: ChatSettings = Field(ChatSettings(), description="questions about ideas and runs")
    lab: LabSettings = Field(LabSettings(), description="where generated code runs")

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
        """The run's name, made of task and seed where none is given; of own images, of their folder's name."""
        return self.run or f"{self._task_name}-{self.seed}"

    @property
    def _task_name(self) -> str:
        if self.task != "folder":
            return self.task
        name = re.split(r"[/\\]+", self.data.rstrip("/\\"))[-1]
        return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:_MAX_NAME] or self.task

    @property
    def prompt_wordings(self) -> dict[str, str]:
        """The prompts that are worded otherwise than in the pack, by the role they have there."""
        suffix = "_prompt"
        given = {name: getattr(self, name) for name in type(self).model_fields if name.endswith(suffix)}
        return {name.removesuffix(suffix): text for name, text in given.items() if text}


def changed_settings(old: RunContext, new: RunContext) -> list[str]:
    """Flags whose values differ and may not, when a run is resumed; see :data:`CHANGEABLE`."""
    return _differences(old, new, "")


def _differences(old: BaseModel, new: BaseModel, prefix: str) -> list[str]:
    names = []
    for name, field in type(old).model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        if name == "models":
            before, after = decisive(before), decisive(after)
        if isinstance(before, BaseModel):
            names += _differences(before, after, f"{prefix}{name}.")
        elif before != after and field.json_schema_extra != CHANGEABLE and name not in ("run", "runs"):
            names.append(f"--{prefix}{name}".replace("_", "-") + f" (was {_short(before)}, now {_short(after)})")
    return names


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"
