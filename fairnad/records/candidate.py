"""The data of one candidate, from idea to record (paper Algorithm 1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from fairnad.domain.objective import ACCURACY, OBJECTIVES, Objective


class Stage(StrEnum):
    """The stages of the search (Algorithm 2), in the order of their first use."""

    BASE = "base"
    """the base architecture itself"""
    INITIAL = "initial"
    """k₀ mutations of the base (lines 6–10)"""
    FAIR = "fair"
    """I. mutation with fair idea sampling (lines 13–19)"""
    PARETO = "pareto"
    """II. Pareto-aware mutation (lines 20–29)"""
    REFINE = "refine"
    """III. LLM-driven iterative mutation (lines 30–39)"""

    @property
    def order(self) -> int:
        """The position within a generation."""
        return list(Stage).index(self)


class Step(StrEnum):
    """The steps of the feedback loop, then those of building knowledge, then those of a question.

    Function, graph node, log line and metric share these verbs.
    """

    MUTATE = "mutate"
    EXECUTE = "execute"
    DEBUG = "debug"
    MEASURE = "measure"
    DOWNSCALE = "downscale"
    JUDGE = "judge"
    REVIEW = "review"
    TRAIN = "train"
    RECORD = "record"
    STRUCTURE = "structure"
    FILTER = "filter"
    EXTRACT = "extract"
    UNDERSTAND = "understand"
    ANSWER = "answer"


class FailureKind(StrEnum):
    """Why a candidate was discarded."""

    REPLY = "reply"
    """a language model's reply held no usable source"""
    BROKEN = "broken off"
    """the endpoint cut off every answer"""
    CONTEXT = "context"
    """even the shortened prompt does not fit the model's context"""
    TRUNCATED = "truncated"
    """the reply was cut off even with continuations"""
    NOT_APPLICABLE = "not applicable"
    """no built-in transformation fits the idea and the parent"""
    SYNTAX = "syntax"
    """the source does not parse"""
    POLICY = "policy"
    """the source breaks a rule of the source policy and was not run"""
    INTERFACE = "interface"
    """``Network(num_classes)`` is missing, or its output has the wrong shape or type"""
    IMPORT = "import"
    """a name or module is missing"""
    SHAPE = "shape"
    """tensor shapes do not fit"""
    RUNTIME = "runtime"
    """any other exception in the constructor, forward or backward pass"""
    MEMORY = "memory"
    """the job exceeded its memory limit"""
    TIMEOUT = "timeout"
    """the job exceeded its time limit and was killed"""
    CRASH = "crash"
    """the job was killed by a signal or ended without a report"""
    BUDGET = "budget"
    """over a limit, also after downscaling"""
    UNCHANGED = "unchanged"
    """the architecture equals the parent's"""
    SINGLE_LAYER = "single layer"
    """no base block is executed twice in series"""
    DUPLICATE = "duplicate"
    """the architecture equals another one in the history"""
    BATCH_LEAKAGE = "batch leakage"
    """the output for an image depends on the other images of the batch"""
    NOT_DETERMINISTIC = "not deterministic"
    """outputs for the same images differ in evaluation mode, or two builds differ"""
    HIDDEN_WEIGHTS = "hidden weights"
    """more tensors than allowed are used as weights without being parameters"""
    MISCOUNTED = "miscounted"
    """the network does more work than its counted FLOPs"""
    INTEGRITY = "integrity"
    """any other integrity fault"""
    DIVERGED = "diverged"
    """the training loss is not finite"""
    HOPELESS = "hopeless"
    """the recipe's early-stopping rule ended the training: the loss did not fall"""
    REVIEW = "review"
    """rejected by a reviewer"""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a step failed: data, never an exception.

    ``message`` is one line. For the debugger, ``log_tail`` is the end of the traceback or captured output, and
    ``shape_trace`` the input and output shapes of each module call in a failing forward pass, one line each, then
    the shapes at the failing line.
    """

    step: Step
    kind: FailureKind
    message: str
    log_tail: str = ""
    shape_trace: str = ""


INTEGRITY_KINDS = frozenset(
    {
        FailureKind.BATCH_LEAKAGE,
        FailureKind.NOT_DETERMINISTIC,
        FailureKind.HIDDEN_WEIGHTS,
        FailureKind.MISCOUNTED,
        FailureKind.INTEGRITY,
    }
)
"""The kinds of integrity faults."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding of the integrity checks in a network that runs; ``kind`` is one of :data:`INTEGRITY_KINDS`.

    A fault refuses the candidate with ``lab.integrity = reject``; other findings are only reported. ``message`` is
    one line.
    """

    kind: FailureKind
    message: str
    is_fault: bool = True

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


def first_fault(findings: Iterable[Finding]) -> Finding | None:
    """The first finding that is a fault, or ``None``."""
    return next((finding for finding in findings if finding.is_fault), None)


_ID = re.compile(r"g([0-9]{2,})-([a-z]+)-r([0-9]+)-s([0-9]{2,})-d([0-9]+)")


class CandidateId(NamedTuple):
    """The place of a candidate in the search. It is never random, so that a resumed run draws the same.

    ``generation`` counts from 1 (0: base and initial), ``round`` from 1 (above 1 only in stage III), ``slot`` and
    ``draw`` from 0. ``draw`` is the number of earlier draws of the slot.
    """

    generation: int
    stage: Stage
    round: int
    slot: int
    draw: int

    def __str__(self) -> str:
        return f"g{self.generation:02d}-{self.stage}-r{self.round}-s{self.slot:02d}-d{self.draw}"

    @classmethod
    def parse(cls, text: str) -> CandidateId:
        """The inverse of ``str``.

        Raises:
            ValueError: ``text`` is not a candidate id.
        """
        match = _ID.fullmatch(text)
        if match is None or match[2] not in list(Stage):
            raise ValueError(f"not a candidate id: {text!r}")
        place = cls(int(match[1]), Stage(match[2]), int(match[3]), int(match[4]), int(match[5]))
        if str(place) != text:
            raise ValueError(f"not a candidate id: {text!r}")
        return place

    @property
    def order(self) -> tuple[int, int, int, int, int]:
        """Sorts candidates as the search draws them: all slots of a draw before the next draw."""
        return (self.generation, self.stage.order, self.round, self.draw, self.slot)


BASE_ID = str(CandidateId(0, Stage.BASE, 1, 0, 0))
"""The id of the base. Data about the whole run is stored under it, too."""


def is_candidate_id(text: str) -> bool:
    """Whether ``text`` has the form of a candidate id."""
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The check job's report on a source that runs: claims, no score.

    ``costs`` holds at least ``params`` (elements of parameters) and ``flops`` (multiply-adds of one image, counted by
    fvcore; paper §5). ``fingerprint`` is the digest of the operator trace. ``num_repeats`` is how often a block is
    executed in series, 1 without repetition. ``blocks`` lists executed module calls in order as ``(class name,
    qualified name, output shape)``. ``findings`` come from the integrity checks.
    """

    costs: Mapping[str, float]
    fingerprint: str
    num_repeats: int
    num_buffer_elements: int = 0
    blocks: tuple[tuple[str, str, tuple[int, ...]], ...] = ()
    seconds: float = field(default=0.0, compare=False)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The evaluation of a trained candidate: the validation accuracy of the last epoch, in [0, 1], and its recipe.

    Only evaluations with equal ``recipe_digest`` can be compared: see :func:`fairnad.records.history.better`.
    ``metric`` names the objective of ``accuracy`` and ``curve``. ``curve`` holds (epoch, value) of earlier epochs,
    counted from 1, if requested. ``train_loss`` is the mean loss of each epoch as claimed by the training job; no
    decision uses it. ``findings`` come from the check, then from the scoring.
    """

    accuracy: float
    recipe_digest: str
    costs: Mapping[str, float]
    fingerprint: str
    train_loss: tuple[float, ...] = ()
    seconds: float = field(default=0.0, compare=False)
    isolation: str = field(default="", compare=False)
    curve: tuple[tuple[int, float], ...] = ()
    findings: tuple[Finding, ...] = ()
    metric: str = ACCURACY.name

    @property
    def objective(self) -> Objective:
        """The objective that ``accuracy`` is a value of."""
        return OBJECTIVES[self.metric]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a language model, stored with its candidate; ``usd`` is 0 without a known price."""

    role: str
    model: str
    input_tokens: int = field(compare=False)
    output_tokens: int = field(compare=False)
    seconds: float = field(compare=False)
    ok: bool
    note: str = ""
    usd: float = field(default=0.0, compare=False)


def plain(value: Any) -> Any:
    """``value`` as JSON data: dataclasses become dicts, enums and candidate ids strings, tuples lists."""
    if isinstance(value, CandidateId):
        return str(value)
    if isinstance(value, StrEnum):
        return str(value)
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
