"""One candidate on its way from an idea to a record (paper Algorithm 1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple


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
    """the endpoint ended every answer before it was complete"""
    CONTEXT = "context"
    """the prompt does not fit the model's context even when shortened"""
    TRUNCATED = "truncated"
    """the reply was cut off, also after its continuations"""
    NOT_APPLICABLE = "not applicable"
    """a built-in transformation found no place for the idea"""
    SYNTAX = "syntax"
    """the source does not parse"""
    POLICY = "policy"
    """the source breaks a rule for sources, and was not run"""
    INTERFACE = "interface"
    """there is no ``Network(num_classes)`` or its output has the wrong shape or type"""
    IMPORT = "import"
    """a name or module is missing"""
    SHAPE = "shape"
    """tensor shapes do not fit"""
    RUNTIME = "runtime"
    """any other exception while building, or in the forward or backward pass"""
    MEMORY = "memory"
    """the job ran out of its memory limit"""
    TIMEOUT = "timeout"
    """the job ran out of its time limit and was killed"""
    CRASH = "crash"
    """the job died of a signal or ended without a report"""
    BUDGET = "budget"
    """over a limit, and downscaling did not bring it under"""
    UNCHANGED = "unchanged"
    """the architecture equals the parent's"""
    SINGLE_LAYER = "single layer"
    """no base block is executed twice in series"""
    DUPLICATE = "duplicate"
    """the architecture equals one that is already in the history"""
    BATCH_LEAKAGE = "batch leakage"
    """what it says of an image depends on the other images of the batch"""
    NOT_DETERMINISTIC = "not deterministic"
    """it says two things of the same images in evaluation mode, or two builds of it differ"""
    HIDDEN_WEIGHTS = "hidden weights"
    """it computes with tensors that are no parameters, beyond what is allowed"""
    MISCOUNTED = "miscounted"
    """it does more work than the count of its FLOPs shows"""
    INTEGRITY = "integrity"
    """any other integrity verdict refused it"""
    DIVERGED = "diverged"
    """the training ended in numbers that are not finite"""
    HOPELESS = "hopeless"
    """the training was ended by its recipe's rule: it had not begun to learn"""
    REVIEW = "review"
    """a person refused it"""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a step ended a candidate, or sent it back: data, never an exception.

    ``message`` is one line; ``log_tail`` the end of a traceback or of captured output, for the debugger, and
    ``shape_trace`` the shapes that went through the modules of a failing forward pass, a line a call, with those at
    the failing line.
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
"""The kinds of integrity verdicts."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What an integrity verdict found in a network that runs; ``kind`` is one of :data:`INTEGRITY_KINDS`.

    A fault is refused where verdicts refuse; anything else is only told. ``message`` is one line.
    """

    kind: FailureKind
    message: str
    is_fault: bool = True

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


def first_fault(findings: Iterable[Finding]) -> Finding | None:
    """The finding a network is refused for, ``None`` where there is none."""
    return next((finding for finding in findings if finding.is_fault), None)


_ID = re.compile(r"g([0-9]{2,})-([a-z]+)-r([0-9]+)-s([0-9]{2,})-d([0-9]+)")


class CandidateId(NamedTuple):
    """Where in the search a candidate was drawn; never random, so that a resumed run draws the same.

    ``generation`` counts from 1 (0: base and initial), ``round`` from 1 (above 1 only in stage refine), ``slot``
    and ``draw`` from 0. ``draw`` counts how often the slot was drawn before.
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
"""The base's; what concerns a run as a whole is stored under it."""


def is_candidate_id(text: str) -> bool:
    """Whether ``text`` has the form of a candidate id."""
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What the check job found out about a source that runs: claims of the job, no score.

    ``costs`` holds at least ``params`` (elements of parameters) and ``flops`` (multiply-adds of one image, paper
    §5 and fvcore's count). ``fingerprint`` is the digest of the operator trace; ``num_repeats`` how often a block
    is executed in series, 1 for a network without repetition. ``blocks`` lists executed module calls as
    ``(class name, qualified name, output shape)`` in order. ``findings`` are those of the integrity verdicts.
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
    """A trained candidate: last-epoch validation accuracy in [0, 1], with the recipe it was trained by.

    ``train_loss`` is the mean loss of each epoch as the training job claims it; nothing is decided by it. ``curve``
    holds (epoch, validation accuracy) of earlier epochs, counted from 1, where they were asked for.
    Two evaluations can be compared only when their ``recipe_digest`` is the same: see
    :func:`fairnad.records.history.better`. ``findings`` are those of the check, then those of the scoring.
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


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a language model, as it is stored with its candidate; ``usd`` is 0 where no price was stated."""

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
