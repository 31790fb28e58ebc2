"""Detects stalled searches, in which no candidate trains any more; finds the commonest failure and advice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from fairnad.records.candidate import INTEGRITY_KINDS, FailureKind, Step
from fairnad.records.history import History, Record

_OTHER_MODEL = "a model that writes better code (--llm.model, with another --run)"
_OTHER_IDEAS = "other ideas: name their categories by --pin, or leave some out by --ban"

_ADVICE: dict[FailureKind, str] = {
    FailureKind.CONTEXT: "a longer context where the model is served, or a lower --llm.max-tokens",
    FailureKind.TRUNCATED: "a higher --llm.max-tokens, or a model that is served with less thinking",
    FailureKind.REPLY: f"another endpoint (--llm.base-url), or {_OTHER_MODEL}",
    FailureKind.BROKEN: "the log of the endpoint, which says why, or another endpoint (--llm.base-url)",
    FailureKind.NOT_APPLICABLE: _OTHER_IDEAS,
    FailureKind.MEMORY: "more memory for a job (--lab.memory, with another --run)",
    FailureKind.BUDGET: "higher limits (--max-params, --max-flops) or a smaller --base, with another --run",
    FailureKind.UNCHANGED: _OTHER_IDEAS,
    FailureKind.SINGLE_LAYER: _OTHER_IDEAS,
    FailureKind.DUPLICATE: _OTHER_IDEAS,
    FailureKind.DIVERGED: "another --recipe, with another --run",
    FailureKind.HOPELESS: "another --recipe, with another --run",
    FailureKind.REVIEW: "fewer rejections by the reviewer, or --review none",
}


class StallCounter:
    """Counts consecutive draws without a trained candidate since a start of the search."""

    def __init__(self, recorded_before: Iterable[str] = ()) -> None:
        """Begin to count.

        Args:
            recorded_before: the candidates recorded by earlier starts; they are not counted.
        """
        self._recorded_before = frozenset(recorded_before)
        self._number = 0

    def add(self, records: Iterable[Record]) -> int:
        """Count records in their order; the consecutive failed draws up to the last one."""
        for record in records:
            if record.candidate_id not in self._recorded_before:
                self._number = 0 if record.trained else self._number + 1
        return self._number


@dataclass(frozen=True, slots=True)
class Stall:
    """The commonest failure of the last draws of a stalled search.

    ``num_failures`` counts it over all draws. ``message`` quotes its newest occurrence; ``advice`` says what helps.
    """

    step: Step
    kind: FailureKind
    num_failures: int
    message: str
    advice: str


def find_stall(history: History, num_failed_in_row: int) -> Stall | None:
    """The commonest failure of the last ``num_failed_in_row`` draws; ``None`` if none failed."""
    failures = [record.failure for record in history.drawn if record.failure is not None][-num_failed_in_row:]
    if not failures or not num_failed_in_row:
        return None
    ((step, kind), _), *_ = Counter((one.step, one.kind) for one in failures).most_common(1)
    message = next(one.message for one in reversed(failures) if (one.step, one.kind) == (step, kind))
    return Stall(step, kind, history.failures()[str(step), str(kind)], message, advice_for(step, kind))


def advice_for(step: Step, kind: FailureKind) -> str:
    """Advice against a failure, with the setting to change."""
    if kind is FailureKind.TIMEOUT:
        flag = "--lab.train-seconds" if step is Step.TRAIN else "--lab.check-seconds"
        return f"more time for a job ({flag}, with another --run)"
    if kind in INTEGRITY_KINDS:
        return "--lab.integrity warn, with another --run, if the verdict is not what you want"
    return _ADVICE.get(kind, _OTHER_MODEL)
