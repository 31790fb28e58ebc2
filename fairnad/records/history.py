"""The history database 𝒟hist as a value (paper Equation 1): records, and what follows from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from fairnad.ideas.idea import Idea
from fairnad.records.candidate import INTEGRITY_KINDS, Call, CandidateId, Evaluation, Failure, FailureKind, Stage, Step
from fairnad.records.draw_decisions import NO_CHOICES, Choices


@dataclass(frozen=True, slots=True)
class Repair:
    """One debug: ``kind`` is the failure it was spent on, ``mended`` whether the source ran afterwards.

    ``version`` is the source it brought, or would have; ``num_calls`` counts a language model's calls, 0 where known
    repairs did it.
    """

    kind: FailureKind
    version: int
    mended: bool
    num_calls: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """What became of one draw. Exactly one of ``evaluation`` and ``failure`` is set.

    ``note`` says in a line what the mutator did, empty where it did not say; ``num_debugs`` and ``num_downscales``
    count the retries that were spent, ``num_edits`` how often a person changed the idea or the source;
    ``duplicate_of`` names the record whose architecture this one repeats; ``choices`` were made at the draw,
    ``repairs`` the debugs one by one.

    Raises:
        ValueError: both or neither of ``evaluation`` and ``failure`` are set.
    """

    candidate_id: str
    parent_id: str
    idea: Idea
    source: str
    evaluation: Evaluation | None = None
    failure: Failure | None = None
    note: str = ""
    num_debugs: int = 0
    num_downscales: int = 0
    duplicate_of: str = ""
    calls: tuple[Call, ...] = ()
    seconds: float = field(default=0.0, compare=False)
    num_edits: int = 0
    choices: Choices = NO_CHOICES
    repairs: tuple[Repair, ...] = ()

    def __post_init__(self) -> None:
        if (self.evaluation is None) == (self.failure is None):
            raise ValueError(f"{self.candidate_id} needs either an evaluation or a failure")

    @property
    def place(self) -> CandidateId:
        """Where in the search the candidate was drawn."""
        return CandidateId.parse(self.candidate_id)

    @property
    def stage(self) -> Stage:
        """The stage the candidate was drawn in."""
        return self.place.stage

    @property
    def trained(self) -> bool:
        """Whether the candidate was trained, as ``--archs`` counts them (the base is trained, but not counted)."""
        return self.evaluation is not None


def accuracy(record: Record) -> float:
    """The validation accuracy of a trained record, in [0, 1].

    Raises:
        ValueError: the record was not trained.
    """
    if record.evaluation is None:
        raise ValueError(f"{record.candidate_id} was not trained")
    return record.evaluation.accuracy


def better(one: Record, other: Record) -> bool:
    """Whether ``one`` has the higher validation accuracy; equal counts as not better (stage III).

    Raises:
        ValueError: the two were trained by different recipes, or one was not trained.
    """
    if one.evaluation is None or other.evaluation is None:
        raise ValueError("only trained candidates can be compared")
    if one.evaluation.recipe_digest != other.evaluation.recipe_digest:
        raise ValueError(
            f"{one.candidate_id} and {other.candidate_id} were trained by different recipes "
            f"({one.evaluation.recipe_digest}, {other.evaluation.recipe_digest})"
        )
    return one.evaluation.accuracy > other.evaluation.accuracy


@dataclass(frozen=True)
class PassRate:
    """Valid candidates among the draws that got a reply (paper Table 3's PR)."""

    num_valid: int
    num_draws: int

    @property
    def value(self) -> float | None:
        """The rate in [0, 1], ``None`` while nothing was drawn."""
        return self.num_valid / self.num_draws if self.num_draws else None


_INVALID_ONLY_STRICTLY = {FailureKind.DUPLICATE, *INTEGRITY_KINDS}


_WITHOUT_REPLY = {FailureKind.CONTEXT, FailureKind.REVIEW}
"""Kinds of failures of step mutate after which no one was asked, or no one could answer."""


def had_no_reply(failure: Failure | None) -> bool:
    """Whether a draw ended before anything was proposed, so that it does not count as one."""
    return failure is not None and failure.step is Step.MUTATE and failure.kind in _WITHOUT_REPLY


def was_refused_unverified(failure: Failure | None) -> bool:
    """Whether an integrity verdict of the check refused a draw: before its budget and structure were looked at."""
    return failure is not None and failure.step is Step.JUDGE and failure.kind in INTEGRITY_KINDS


def _passed(failure: Failure | None, strict: bool) -> bool:
    if failure is None:
        return True
    if failure.step not in (Step.JUDGE, Step.REVIEW, Step.TRAIN) or was_refused_unverified(failure):
        return False
    if failure.kind in _INVALID_ONLY_STRICTLY:
        return not strict
    return failure.step in (Step.REVIEW, Step.TRAIN)


def is_valid(record: Record, *, strict: bool = False) -> bool:
    """Whether a draw passed execution, budget and structure (paper Table 3's PR); ``strict`` as for the pass rate."""
    return _passed(record.failure, strict)


class History:
    """Records in the order they were drawn, with the questions the search asks of them."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.records = tuple(sorted(records, key=lambda record: record.place.order))

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, candidate_id: str) -> Record:
        return self._by_id[candidate_id]

    def get(self, candidate_id: str) -> Record | None:
        """The record of that id, ``None`` where there is none."""
        return self._by_id.get(candidate_id)

    @cached_property
    def _by_id(self) -> dict[str, Record]:
        return {record.candidate_id: record for record in self.records}

    def before(self, place: tuple[int, ...]) -> History:
        """What was drawn before a place, given by the first numbers of its :attr:`CandidateId.order`.

        Decisions of the search look at nothing else, so that going through them again repeats them.
        """
        return History(record for record in self.records if record.place.order < place)

    @cached_property
    def base(self) -> Record | None:
        """The base model's record."""
        return next((record for record in self.records if record.stage is Stage.BASE), None)

    @cached_property
    def drawn(self) -> tuple[Record, ...]:
        """Every record but the base's."""
        return tuple(record for record in self.records if record.stage is not Stage.BASE)

    @cached_property
    def trained(self) -> tuple[Record, ...]:
        """The trained candidates without the base: what ``--archs`` counts."""
        return tuple(record for record in self.drawn if record.trained)

    @cached_property
    def pool(self) -> tuple[Record, ...]:
        """Who can be a parent or the result: the trained candidates, and the base only while there are none."""
        if self.trained:
            return self.trained
        return (self.base,) if self.base is not None and self.base.trained else ()

    @cached_property
    def ranking(self) -> tuple[Record, ...]:
        """The pool, best validation accuracy first, ties by the order of drawing.

        Raises:
            ValueError: the pool was trained by different recipes.
        """
        if len({r.evaluation.recipe_digest for r in self.pool if r.evaluation is not None}) > 1:
            raise ValueError("the history holds candidates that were trained by different recipes")
        return tuple(sorted(self.pool, key=lambda record: (-accuracy(record), record.place.order)))

    @property
    def best(self) -> Record | None:
        """a* (Algorithm 2, line 41)."""
        return self.ranking[0] if self.ranking else None

    def with_fingerprint(self, fingerprint: str) -> Record | None:
        """The first trained record of that architecture, the base included."""
        for record in self.records:
            if record.evaluation is not None and record.evaluation.fingerprint == fingerprint:
                return record
        return None

    @property
    def num_barren(self) -> int:
        """How many draws in a row, up to the last, ended without a trained candidate."""
        count = 0
        for record in reversed(self.drawn):
            if record.trained:
                break
            count += 1
        return count

    def pass_rate(self, *, strict: bool = False) -> PassRate:
        """Draws that pass execution, budget and structure; ``strict`` also subtracts duplicates and integrity."""
        replied = [r for r in self.drawn if not had_no_reply(r.failure)]
        valid = [r for r in replied if is_valid(r, strict=strict)]
        return PassRate(len(valid), len(replied))

    def failures(self) -> Counter[tuple[str, str]]:
        """How often each (step, kind) ended a draw."""
        return Counter((str(r.failure.step), str(r.failure.kind)) for r in self.drawn if r.failure is not None)
