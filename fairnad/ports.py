"""The ports of the search: the roles of the agents, the lab, the stores. Values in, values out.

A role returns its value or a :class:`~fairnad.records.candidate.Failure`. It raises only if the system itself fails
(see :mod:`fairnad.errors`). Every role has two implementations, by a language model (``agents/``) and built in
(``agents/builtin/``), which pass the same contract tests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fairnad.domain.recipe import Recipe
from fairnad.ideas.checked_modules import CheckedModule
from fairnad.ideas.idea import Idea, IdeaKind, MutationTarget
from fairnad.records.candidate import Call, CandidateId, CheckReport, Evaluation, Failure
from fairnad.records.draw_decisions import NO_DECISIONS, DrawDecisions
from fairnad.records.history import Record
from fairnad.records.prices import Usage
from fairnad.search.sampling import Fairness, Key

Check = Callable[[str], Awaitable[CheckReport | Failure]]
"""Builds a source and runs it forward and backward: :meth:`Lab.check`."""

InSlot = Callable[[], AbstractContextManager[None]]
"""Makes a context manager that the lab enters when work gets its slot, and exits when it releases the slot."""

BUILT_IN = "built-in"
"""The name of the built-in designer among players. Notes of its work in a mix begin with it."""


@dataclass(frozen=True, slots=True)
class CallContext:
    """The candidate and the version of its source that a role works on. It identifies calls and random numbers.

    ``version`` counts the sources of one candidate from 0. ``seed`` is the run's. ``choices`` were made at the draw.
    """

    candidate_id: str
    version: int
    seed: int
    choices: DrawDecisions = NO_DECISIONS

    @property
    def generator(self) -> np.random.Generator:
        """A random generator that depends only on this context."""
        place = CandidateId.parse(self.candidate_id)
        words = [self.seed, place.generation, place.stage.order, place.round, place.slot, place.draw, self.version]
        return np.random.default_rng(words)


@dataclass(frozen=True, slots=True)
class Model:
    """The source of a ``Network``, with the check job's report if it ran."""

    source: str
    report: CheckReport | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A new source.

    ``prompt`` is the request, shown again to the debugger and the downscaler. Only the idea mutator sets ``idea``.
    ``note`` describes the change in one line, possibly empty. ``discarded`` describes an earlier proposal of another
    player and why it was not used.
    """

    source: str
    prompt: str
    idea: Idea | None = None
    note: str = ""
    discarded: str = ""


@dataclass(frozen=True, slots=True)
class MutationRequest:
    """Algorithm 1, lines 3–4. ``modules`` are those of the module library that the source may use by name."""

    context: CallContext
    idea: Idea
    target: MutationTarget
    parent: Model
    modules: tuple[CheckedModule, ...] = ()


@dataclass(frozen=True, slots=True)
class DebugRequest:
    """Algorithm 1, lines 11–12: ``failed`` did not run because of ``failure``."""

    context: CallContext
    prompt: str
    failed: str
    failure: Failure
    parent: Model


@dataclass(frozen=True, slots=True)
class DownscaleRequest:
    """Algorithm 1, lines 21–22. ``oversized`` runs and is over a limit.

    With ``single_use`` the added module is used once; otherwise ``shrinking`` describes the reduction (F.2.5).
    ``num_earlier`` counts earlier reductions of the candidate.
    """

    context: CallContext
    prompt: str
    oversized: Model
    parent: Model
    single_use: bool
    shrinking: str
    num_earlier: int = 0


@dataclass(frozen=True, slots=True)
class IdeaMutationRequest:
    """§4.3.3 and F.2.4: a_{t−1} (``current``), made from a_{t−2} (``previous``) by ``idea``.

    The answer edits ``current`` if it ``improved`` over ``previous``, else ``previous``.
    """

    context: CallContext
    idea: Idea
    current: Model
    previous: Model
    improved: bool


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """Algorithm 1, line 25."""

    context: CallContext
    judged: Model
    parent: Model


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the architecture has changed and is still multi-layer (§4.4)."""

    changed: bool
    multi_layer: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict checked against all earlier candidates: the architecture is claimed or refused.

    ``duplicate_of`` is the id of the candidate that claimed the fingerprint first, or empty.
    """

    fingerprint: str
    failure: Failure | None = None
    duplicate_of: str = ""


class Mutator(Protocol):
    """Turns an idea and a parent into a new source."""

    async def mutate(self, request: MutationRequest) -> Proposal | Failure:
        """The parent with the idea implemented."""


class Debugger(Protocol):
    """Repairs a source that does not run."""

    async def debug(self, request: DebugRequest) -> Proposal | Failure:
        """The repaired source."""


class Downscaler(Protocol):
    """Reduces a source to its budgets."""

    async def downscale(self, request: DownscaleRequest) -> Proposal | Failure:
        """A smaller source."""


class IdeaMutator(Protocol):
    """Derives the next idea from the last one and its effect, and implements it."""

    async def mutate_idea(self, request: IdeaMutationRequest) -> Proposal | Failure:
        """The next source of a chain, and its idea."""


class StructuralJudge(Protocol):
    """Decides whether a source is a new multi-layer architecture."""

    async def judge(self, request: JudgeRequest) -> Verdict | Failure:
        """The verdict on ``request.judged``."""


@dataclass(frozen=True, slots=True)
class Roles:
    """The players of a search, one field per role of the table in :mod:`fairnad.roles`."""

    mutator: Mutator
    idea_mutator: IdeaMutator
    debugger: Debugger
    downscaler: Downscaler
    structural_judge: StructuralJudge


class IdeaSampler(Protocol):
    """Draws an idea of a kind."""

    def sample(self, kind: IdeaKind, generator: np.random.Generator) -> Idea:
        """One idea. Knowledge ideas are drawn fairly, predefined ones uniformly."""


@dataclass(frozen=True, slots=True, eq=False)
class Retrained:
    """The result of a training; ``weights`` is the content of a safetensors file."""

    evaluation: Evaluation
    weights: bytes


class Lab(Protocol):
    """Runs untrusted sources, each in a process of its own."""

    async def check(self, source: str) -> CheckReport | Failure:
        """Build, run forward and backward, count costs. Results are cached by source."""

    async def train(self, source: str, *, seed: int, in_slot: InSlot = nullcontext) -> Evaluation | Failure:
        """Train on the training split. The accuracy is computed outside the job, on the validation split."""

    async def retrain(
        self, source: str, *, seed: int, recipe: Recipe, in_slot: InSlot = nullcontext
    ) -> Retrained | Failure:
        """Train as :meth:`train` does, by any recipe, and return the weights."""

    async def hold_out(
        self, source: str, weights: bytes, *, seed: int, in_slot: InSlot = nullcontext
    ) -> float | Failure:
        """The accuracy of weights from :meth:`retrain` on the held-out images. Only after a search."""


class IdeaStore(Protocol):
    """The model design knowledge database 𝒟kn."""

    def counts(self, fairness: Fairness) -> Mapping[Key, int]:
        """Number of ideas by fairness key; keys without ideas are left out."""

    def draw(self, fairness: Fairness, key: Key, generator: np.random.Generator) -> Idea:
        """One idea of that key, uniformly."""


@dataclass(frozen=True, slots=True)
class CallKey:
    """Identifies a call, so that a resumed run finds its stored answer.

    ``part`` counts the calls of one step (continuations, shortened prompts). With ``prompt_digest``, a changed prompt
    does not match.
    """

    candidate_id: str
    role: str
    version: int
    part: int
    prompt_digest: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A stored reply: ``text`` without reasoning, ``finish`` the reason it ended.

    ``temperature``, ``max_tokens`` and ``pack_digest`` (of the prompt's pack) belong to the request; calls of older
    versions lack them.
    """

    call: Call
    messages: tuple[tuple[str, str], ...]
    text: str
    finish: str
    temperature: float | None = None
    max_tokens: int | None = None
    pack_digest: str = ""


class CallLog(Protocol):
    """Every call of a language model, stored before its answer is used."""

    def find_answer(self, key: CallKey) -> Answer | None:
        """The stored answer of a call, or ``None``."""

    def add_answer(self, key: CallKey, answer: Answer) -> None:
        """Store an answer. A second one with the same key is ignored."""


class Ledger(Protocol):
    """Spending on language models. Every request is reserved before it is sent, and settled afterwards."""

    async def reserve(self, key: CallKey, model: str, most: Usage) -> int:
        """Reserve a request on disk and return the reservation's number. Waits if running calls may leave room.

        Args:
            most: the worst-case usage of the request.

        Raises:
            StoppingError: the request would pass a limit, and the run is being stopped.
            LimitError: the request would pass a limit.
        """

    async def settle(self, number: int, spent: Usage, note: str = "") -> None:
        """Replace a reservation by the real usage.

        Args:
            note: why ``spent`` is an estimate, or why the request failed; otherwise empty.
        """


class HistoryStore(CallLog, Protocol):
    """𝒟hist on disk, and the results of single steps. Writes are atomic and idempotent."""

    def find_step(self, candidate_id: str, step: str, version: int) -> Mapping[str, object] | None:
        """The stored result of a step, or ``None``."""

    def add_step(self, candidate_id: str, step: str, version: int, result: Mapping[str, object]) -> None:
        """Store the result of a step as JSON data. A second one with the same key is ignored."""

    def add_record(self, record: Record) -> None:
        """Store a candidate's record. A second one with the same id is ignored."""

    def find_steps(self, step: str, version: int) -> Sequence[tuple[str, Mapping[str, object]]]:
        """(candidate id, result) of all candidates with this step, in storage order."""

    def find_record(self, candidate_id: str) -> Record | None:
        """The record of that id, or ``None``."""

    def records(self) -> Sequence[Record]:
        """Every record, in the order of drawing."""

    def calls(self, candidate_id: str) -> Sequence[Call]:
        """The calls made for one candidate, in the order they were answered."""

    def num_calls(self, candidate_id: str, role: str, version: int) -> int:
        """Number of calls of a role for one version of a candidate; ``role`` may be a prefix of its name."""
