"""The history database 𝒟hist as a value (paper Equation 1): records and queries over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from fairnad.domain.objective import ACCURACY, OBJECTIVES, Objective
from fairnad.ideas.idea import Idea
from fairnad.records.candidate import INTEGRITY_KINDS, Call, CandidateId, Evaluation, Failure, FailureKind, Stage, Step
from fairnad.records.draw_decisions import NO_DECISIONS, DrawDecisions


@dataclass(frozen=True, slots=True)
class Repair:
    """One debug: ``kind`` is the repaired failure, ``mended`` whether the source ran afterwards.

    ``version`` is the number of the resulting source. ``num_calls`` counts calls of a language model, 0 for known
    repairs.
    """

    kind: FailureKind
    version: int
    mended: bool
    num_calls: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """The outcome of one draw. Exactly one of ``evaluation`` and ``failure`` is set.

    ``note`` is the mutator's one-line description, possibly empty. ``num_debugs`` and ``num_downscales`` count
    retries, ``num_edits`` a reviewer's changes of idea or source. ``duplicate_of`` is the id of the record with the
    same architecture. ``choices`` are the decisions made at the draw, ``repairs`` the debugs in order.

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
    choices: DrawDecisions = NO_DECISIONS
    repairs: tuple[Repair, ...] = ()

    def __post_init__(self) -> None:
        if (self.evaluation is None) == (self.failure is None):
            raise ValueError(f"{self.candidate_id} needs either an evaluation or a failure")

    @property
    def place(self) -> CandidateId:
        """The place of the candidate in the search."""
        return CandidateId.parse(self.candidate_id)

    @property
    def stage(self) -> Stage:
        """The stage the candidate was drawn in."""
        return self.place.stage

    @property
    def trained(self) -> bool:
        """Whether the candidate was trained. ``--archs`` counts these, except the base."""
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
    """Whether ``one`` is better by its objective; equal counts as not better (stage III).

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
    return one.evaluation.objective.is_better(one.evaluation.accuracy, other.evaluation.accuracy)


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
"""Failure kinds of step mutate without a reply: no model was asked, or none could answer."""


def had_no_reply(failure: Failure | None) -> bool:
    """Whether a draw ended without a proposal; such draws do not count in the pass rate."""
    return failure is not None and failure.step is Step.MUTATE and failure.kind in _WITHOUT_REPLY


def was_refused_unverified(failure: Failure | None) -> bool:
    """Whether the check's integrity verdict refused a draw before its budget and structure were verified."""
    return failure is not None and failure.step is Step.JUDGE and failure.kind in INTEGRITY_KINDS


def _has_passed(failure: Failure | None, strict: bool) -> bool:
    if failure is None:
        return True
    if failure.step not in (Step.JUDGE, Step.REVIEW, Step.TRAIN) or was_refused_unverified(failure):
        return False
    if failure.kind in _INVALID_ONLY_STRICTLY:
        return not strict
    return failure.step in (Step.REVIEW, Step.TRAIN)


def is_valid(record: Record, *, strict: bool = False) -> bool:
    """Whether a draw passed execution, budget and structure (paper Table 3's PR); ``strict`` as for the pass rate."""
    return _has_passed(record.failure, strict)


class History:
    """Records in the order they were drawn, with the questions the search asks of them."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.records = tuple(sorted(records, key=lambda record: record.place.order))

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, candidate_id: str) -> Record:
        return self._by_id[candidate_id]

    def get(self, candidate_id: str) -> Record | None:
        """The record of that id, or ``None``."""
        return self._by_id.get(candidate_id)

    @cached_property
    def _by_id(self) -> dict[str, Record]:
        return {record.candidate_id: record for record in self.records}

    def before(self, place: tuple[int, ...]) -> History:
        """The records drawn before a place, which is given by the first numbers of its :attr:`CandidateId.order`.

        Decisions of the search use no other records, so that a resumed search repeats them.
        """
        return History(record for record in self.records if record.place.order < place)

    @cached_property
    def base(self) -> Record | None:
        """The base model's record."""
        return next((record for record in self.records if record.stage is Stage.BASE), None)

    @cached_property
    def drawn(self) -> tuple[Record, ...]:
        """All records except the base's."""
        return tuple(record for record in self.records if record.stage is not Stage.BASE)

    @cached_property
    def trained(self) -> tuple[Record, ...]:
        """The trained candidates without the base, which ``--archs`` counts."""
        return tuple(record for record in self.drawn if record.trained)

    @cached_property
    def pool(self) -> tuple[Record, ...]:
        """Possible parents and results: the trained candidates, or the base while there are none."""
        if self.trained:
            return self.trained
        return (self.base,) if self.base is not None and self.base.trained else ()

    @cached_property
    def objective(self) -> Objective:
        """The objective of the trained candidates; accuracy if none was trained.

        Raises:
            ValueError: the history holds candidates of several objectives.
        """
        names = {record.evaluation.metric for record in self.records if record.evaluation is not None}
        if len(names) > 1:
            raise ValueError(f"the history holds candidates of several objectives: {', '.join(sorted(names))}")
        return OBJECTIVES[names.pop()] if names else ACCURACY

    @cached_property
    def ranking(self) -> tuple[Record, ...]:
        """The pool, best validation value of the objective first, ties by the order of drawing.

        Raises:
            ValueError: the pool was trained by different recipes.
        """
        if len({r.evaluation.recipe_digest for r in self.pool if r.evaluation is not None}) > 1:
            raise ValueError("the history holds candidates that were trained by different recipes")
        key = self.objective.sort_key
        return tuple(sorted(self.pool, key=lambda record: (key(accuracy(record)), record.place.order)))

    @property
    def best(self) -> Record | None:
        """a* (Algorithm 2, line 41)."""
        return self.ranking[0] if self.ranking else None

    @property
    def num_failed_in_row(self) -> int:
        """The number of latest draws in a row without a trained candidate."""
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
        """Number of draws that each (step, kind) ended."""
        return Counter((str(r.failure.step), str(r.failure.kind)) for r in self.drawn if r.failure is not None)
