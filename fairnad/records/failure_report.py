"""Failure statistics of model replies: by step and kind, repaired or final, with calls and tokens.

Unlike the pass rate, they count every failure, including those that were repaired. Calls are counted by role and model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fairnad.records.candidate import Call, FailureKind, Step
from fairnad.records.history import History, PassRate, Record, had_no_reply, was_refused_unverified

PAPERS_KINDS: dict[FailureKind, str] = {
    FailureKind.TRUNCATED: "incomplete generation",
    FailureKind.REPLY: "incomplete generation",
    FailureKind.BROKEN: "incomplete generation",
    FailureKind.SYNTAX: "incomplete generation",
    FailureKind.IMPORT: "component hallucination",
    FailureKind.INTERFACE: "component hallucination",
    FailureKind.SHAPE: "shape mismatch",
    FailureKind.BUDGET: "downscaling failure",
    FailureKind.UNCHANGED: "structural failure",
    FailureKind.SINGLE_LAYER: "structural failure",
}
"""Our failure kinds mapped to the paper's five (D.3); the paper has no name for the others."""

_PHASES: dict[str, frozenset[Step]] = {
    "reply": frozenset({Step.MUTATE}),
    "execution": frozenset({Step.EXECUTE, Step.DEBUG}),
    "budget": frozenset({Step.MEASURE, Step.DOWNSCALE}),
    "structure": frozenset({Step.JUDGE}),
}


@dataclass(frozen=True, slots=True)
class KindCount:
    """Counts of the failures of one (step, kind); ``paper`` is the paper's name, or empty.

    ``num_mended`` were repaired: the source ran, or came within its limits, afterwards. ``num_final`` ended a draw.
    """

    step: str
    kind: str
    paper: str
    num_met: int
    num_mended: int
    num_final: int


@dataclass(frozen=True, slots=True)
class CallCount:
    """Calls of one role by one model; ``num_failed`` gave no usable reply."""

    role: str
    model: str
    num_calls: int
    num_failed: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class FailureReport:
    """The whole report.

    ``phases``: for each phase of the feedback loop, its pass rate among the draws that reached it. ``paper``: the
    number of failures by the paper's five kinds. ``num_fitted`` of ``num_downscaled`` draws came within the limits.
    """

    pass_rate: PassRate
    phases: dict[str, PassRate]
    kinds: tuple[KindCount, ...]
    paper: dict[str, int]
    num_debugs: int
    num_debugs_mended: int
    num_debugs_without_call: int
    num_downscales: int
    num_downscaled: int
    num_fitted: int
    calls: tuple[CallCount, ...]


def failure_report(history: History) -> FailureReport:
    """The report over all draws except the base.

    Draws without a reply count as failures. Like the pass rate, the phases leave them out.
    """
    drawn = [record for record in history.drawn if not had_no_reply(record.failure)]
    repairs = [repair for record in drawn for repair in record.repairs]
    downscaled = [record for record in drawn if record.num_downscales]
    kinds = _kinds(history.drawn)
    paper = dict.fromkeys(PAPERS_KINDS.values(), 0)
    for count in kinds:
        if count.paper:
            paper[count.paper] += count.num_met
    return FailureReport(
        pass_rate=history.pass_rate(),
        phases=_phases(drawn),
        kinds=kinds,
        paper=paper,
        num_debugs=len(repairs),
        num_debugs_mended=sum(repair.mended for repair in repairs),
        num_debugs_without_call=sum(not repair.num_calls for repair in repairs),
        num_downscales=sum(record.num_downscales for record in drawn),
        num_downscaled=len(downscaled),
        num_fitted=sum(_came_within_limits(record) for record in downscaled),
        calls=_calls(history.records),
    )


def _phases(drawn: Sequence[Record]) -> dict[str, PassRate]:
    """For each phase, its pass rate among the draws that passed all earlier phases."""
    left, rates = list(drawn), {}
    for phase, steps in _PHASES.items():
        passed = [record for record in left if _ended_at(record) not in steps]
        rates[phase] = PassRate(len(passed), len(left))
        left = passed
    return rates


def _ended_at(record: Record) -> Step | None:
    """The step that ended a draw. An integrity verdict of the check counts as execution."""
    if was_refused_unverified(record.failure):
        return Step.EXECUTE
    return record.failure.step if record.failure is not None else None


def _kinds(drawn: Sequence[Record]) -> tuple[KindCount, ...]:
    """The commonest first."""
    met: Counter[tuple[str, str]] = Counter()
    mended: Counter[tuple[str, str]] = Counter()
    final: Counter[tuple[str, str]] = Counter()
    for record in drawn:
        if record.failure is not None:
            final[str(record.failure.step), str(record.failure.kind)] += 1
        for key, was_mended in _find_failures(record):
            met[key] += 1
            mended[key] += was_mended
    ordered = sorted(met, key=lambda key: (-met[key], key))
    return tuple(
        KindCount(*key, PAPERS_KINDS.get(FailureKind(key[1]), ""), met[key], mended[key], final[key]) for key in ordered
    )


def _find_failures(record: Record) -> Iterator[tuple[tuple[str, str], bool]]:
    """All failures of a draw, and whether each was repaired. A failure that took two debugs counts once."""
    end = record.failure
    open_kind: FailureKind | None = None
    for repair in record.repairs:
        if open_kind is not None and open_kind is not repair.kind:
            yield (str(Step.EXECUTE), str(open_kind)), False  # the repair uncovered another fault
        open_kind = repair.kind
        if repair.mended:
            yield (str(Step.EXECUTE), str(open_kind)), True
            open_kind = None
    if end is None or end.step is not Step.EXECUTE:
        if open_kind is not None:
            yield (str(Step.EXECUTE), str(open_kind)), False
    elif open_kind is not None and open_kind is not end.kind:
        yield (str(Step.EXECUTE), str(open_kind)), False
    if record.num_downscales and _came_within_limits(record):
        yield (str(Step.DOWNSCALE), str(FailureKind.BUDGET)), True
    if end is not None:
        yield (str(end.step), str(end.kind)), False


def _came_within_limits(record: Record) -> bool:
    return _ended_at(record) in (None, Step.JUDGE, Step.REVIEW, Step.TRAIN)


def _calls(records: Sequence[Record]) -> tuple[CallCount, ...]:
    groups: dict[tuple[str, str], list[Call]] = {}
    for record in records:
        for call in record.calls:
            groups.setdefault((call.role, call.model), []).append(call)
    return tuple(
        CallCount(
            role,
            model,
            len(calls),
            sum(not call.ok for call in calls),
            sum(call.input_tokens for call in calls),
            sum(call.output_tokens for call in calls),
        )
        for (role, model), calls in sorted(groups.items())
    )
