"""What the search asks of the world: the roles of the agents, the lab, the stores. Values in, values out.

A role answers with its value or with a :class:`~fairnad.records.candidate.Failure`; it raises only when the system
itself fails (see :mod:`fairnad.errors`). Every role has two implementations, by a language model (``agents/``) and
built in (``agents/builtin/``), and passes the same contract tests.
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
from fairnad.records.draw_decisions import NO_CHOICES, Choices
from fairnad.records.history import Record
from fairnad.records.prices import Usage
from fairnad.search.sampling import Fairness, Key

Check = Callable[[str], Awaitable[CheckReport | Failure]]
"""Builds a source and runs it forward and backward: :meth:`Lab.check`."""

InSlot = Callable[[], AbstractContextManager[None]]
"""Makes what a lab enters when a piece of work has got its slot, and leaves when it gives the slot back."""

BUILT_IN = "built-in"
"""What the built-in designer is called among players; the note of what it made in a mix begins with that."""


@dataclass(frozen=True, slots=True)
class Errand:
    """For which candidate and which version of its source a role works; names its calls and its random numbers.

    ``version`` counts the sources of one candidate from 0; ``seed`` is the run's; ``choices`` were made at the draw.
    """

    candidate_id: str
    version: int
    seed: int
    choices: Choices = NO_CHOICES

    @property
    def generator(self) -> np.random.Generator:
        """Random numbers that depend on nothing but this errand."""
        place = CandidateId.parse(self.candidate_id)
        words = [self.seed, place.generation, place.stage.order, place.round, place.slot, place.draw, self.version]
        return np.random.default_rng(words)


@dataclass(frozen=True, slots=True)
class Model:
    """A source of a ``Network``, with what the check job reported of it where it ran."""

    source: str
    report: CheckReport | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A new source.

    ``prompt`` is what was asked for, shown again to the debugger and the downscaler; ``idea`` is set by the idea
    mutator alone; ``note`` says in a line what was done, empty where unknown; ``discarded`` what another player
    proposed before and why it was not taken, with the costs where it runs.
    """

    source: str
    prompt: str
    idea: Idea | None = None
    note: str = ""
    discarded: str = ""


@dataclass(frozen=True, slots=True)
class MutationRequest:
    """Algorithm 1, lines 3–4. ``parts`` are checked modules the source may use by their names."""

    errand: Errand
    idea: Idea
    target: MutationTarget
    parent: Model
    parts: tuple[CheckedModule, ...] = ()


@dataclass(frozen=True, slots=True)
class DebugRequest:
    """Algorithm 1, lines 11–12: ``failed`` did not run because of ``failure``."""

    errand: Errand
    prompt: str
    failed: str
    failure: Failure
    parent: Model


@dataclass(frozen=True, slots=True)
class DownscaleRequest:
    """Algorithm 1, lines 21–22. ``oversized`` runs and is over a limit.

    ``single_use``: restrict the added module to one use; otherwise ``shrinking`` says how to shrink (F.2.5).
    ``num_earlier`` counts the reductions the candidate has been through before.
    """

    errand: Errand
    prompt: str
    oversized: Model
    parent: Model
    single_use: bool
    shrinking: str
    num_earlier: int = 0


@dataclass(frozen=True, slots=True)
class IdeaMutationRequest:
    """§4.3.3 and F.2.4: a_{t−1} (``current``), made from a_{t−2} (``previous``) by ``idea``.

    ``improved`` says whether the accuracy rose; the answer edits ``current`` then, ``previous`` otherwise.
    """

    errand: Errand
    idea: Idea
    current: Model
    previous: Model
    improved: bool


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """Algorithm 1, line 25."""

    errand: Errand
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
    """The verdict, seen against everything judged before: the architecture is claimed, or refused.

    ``duplicate_of`` is the candidate that claimed the same fingerprint first, empty where there is none.
    """

    fingerprint: str
    failure: Failure | None = None
    duplicate_of: str = ""


class Mutator(Protocol):
    """Turns an idea and a parent into a new source."""

    async def mutate(self, request: MutationRequest) -> Proposal | Failure:
        """The parent with the idea carried out."""


class Debugger(Protocol):
    """Mends a source that does not run."""

    async def debug(self, request: DebugRequest) -> Proposal | Failure:
        """The failed source, mended."""


class Downscaler(Protocol):
    """Brings a source under its budgets."""

    async def downscale(self, request: DownscaleRequest) -> Proposal | Failure:
        """The oversized source, made smaller."""


class IdeaMutator(Protocol):
    """Makes the next idea from the last one and its effect, and carries it out."""

    async def mutate_idea(self, request: IdeaMutationRequest) -> Proposal | Failure:
        """The next source of a chain, with the idea behind it."""


class StructuralJudge(Protocol):
    """Decides whether a source is a new multi-layer architecture."""

    async def judge(self, request: JudgeRequest) -> Verdict | Failure:
        """The verdict on ``request.judged``."""


class IdeaSampler(Protocol):
    """Draws an idea of a kind."""

    def sample(self, kind: IdeaKind, generator: np.random.Generator) -> Idea:
        """One idea; knowledge ideas are drawn fairly, the predefined ones uniformly."""


@dataclass(frozen=True, slots=True, eq=False)
class Retrained:
    """A training with what it leaves: ``weights`` is the content of a safetensors file."""

    evaluation: Evaluation
    weights: bytes


class Lab(Protocol):
    """Runs untrusted sources, each in a process of its own."""

    async def check(self, source: str) -> CheckReport | Failure:
        """Build, run forward and backward, count costs; a source that was checked before is not run again."""

    async def train(self, source: str, *, seed: int, in_slot: InSlot = nullcontext) -> Evaluation | Failure:
        """Train on the training split; the accuracy is the validation split's, computed outside the job."""

    async def retrain(
        self, source: str, *, seed: int, recipe: Recipe, in_slot: InSlot = nullcontext
    ) -> Retrained | Failure:
        """Train as :meth:`train` does, by any recipe, and hand the weights out."""

    async def hold_out(
        self, source: str, weights: bytes, *, seed: int, in_slot: InSlot = nullcontext
    ) -> float | Failure:
        """The accuracy on the held-out images of what :meth:`retrain` handed out. Only after a search."""


class IdeaStore(Protocol):
    """The model design knowledge database 𝒟kn."""

    def counts(self, fairness: Fairness) -> Mapping[Key, int]:
        """How many ideas each fairness key holds; keys without ideas are left out."""

    def draw(self, fairness: Fairness, key: Key, generator: np.random.Generator) -> Idea:
        """One idea of that key, uniformly."""


@dataclass(frozen=True, slots=True)
class CallKey:
    """Names one call for good: the same call of a resumed run finds its stored answer.

    ``part`` counts the calls one step needs (continuations, shortened prompts); ``prompt_digest`` guards against
    answering a changed prompt from the store.
    """

    candidate_id: str
    role: str
    version: int
    part: int
    prompt_digest: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint replied, as it is stored: ``text`` without reasoning, ``finish`` the reason it stopped.

    ``temperature`` and ``max_tokens`` are what it was asked with, and ``pack_digest`` that of the pack its prompt is
    from; ``None`` and empty in calls that were stored without them.
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
        """The stored answer of a call, ``None`` where it was never answered."""

    def add_answer(self, key: CallKey, answer: Answer) -> None:
        """Store an answer; a second one of the same key changes nothing."""


class Ledger(Protocol):
    """What is spent on language models: asked before every request that is sent, and told what came of it."""

    async def reserve(self, key: CallKey, model: str, most: Usage) -> int:
        """The number of a reservation, on disk before this returns; waits where others must be settled first.

        Args:
            most: what the request can cost at worst.

        Raises:
            StoppingError: a limit allows the request no more; the run is being stopped.
            LimitError: the same, where nobody stops the run.
        """

    async def settle(self, number: int, spent: Usage, note: str = "") -> None:
        """Put what a request has cost in the place of its reservation.

        Args:
            note: why ``spent`` is no more than an estimate, or what the request failed of; empty where it did not.
        """


class HistoryStore(CallLog, Protocol):
    """𝒟hist on disk, and the results of single steps. Every write is atomic and idempotent."""

    def find_step(self, candidate_id: str, step: str, version: int) -> Mapping[str, object] | None:
        """The stored result of a step, ``None`` where it was never finished."""

    def add_step(self, candidate_id: str, step: str, version: int, result: Mapping[str, object]) -> None:
        """Store the result of a step, which is JSON data; a second one of the same key changes nothing."""

    def add_record(self, record: Record) -> None:
        """Store a candidate's record; a second one of the same id changes nothing."""

    def find_steps(self, step: str, version: int) -> Sequence[tuple[str, Mapping[str, object]]]:
        """(candidate id, result) of every candidate that took the step, in the order they were stored."""

    def find_record(self, candidate_id: str) -> Record | None:
        """The record of that id, ``None`` where there is none yet."""

    def records(self) -> Sequence[Record]:
        """Every record, in the order of drawing."""

    def calls(self, candidate_id: str) -> Sequence[Call]:
        """The calls made for one candidate, in the order they were answered."""

    def num_calls(self, candidate_id: str, role: str, version: int) -> int:
        """How many calls a role needed for one version of a candidate; ``role`` may be the beginning of its name."""
