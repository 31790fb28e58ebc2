"""The built-in structural judge: compares the reports of the check jobs (paper §4.4)."""

from __future__ import annotations

from fairnad.ports import JudgeRequest, Verdict
from fairnad.records.candidate import CheckReport, Failure, FailureKind, Step


class BuiltinStructuralJudge:
    """Changed: the operator traces differ. Multi-layer: a block runs at least twice in series."""

    async def judge(self, request: JudgeRequest) -> Verdict | Failure:
        """The verdict; a failure of kind *runtime* if one of the two models has not run."""
        judged, parent = request.judged.report, request.parent.report
        if judged is None or parent is None:
            missing = "the source" if judged is None else "its parent"
            return Failure(Step.JUDGE, FailureKind.RUNTIME, f"{missing} has not run yet")
        changed = judged.fingerprint != parent.fingerprint
        return Verdict(changed, judged.num_repeats >= 2, _reason(judged, changed=changed))


def _reason(judged: CheckReport, *, changed: bool) -> str:
    layers = f"{judged.num_repeats} repeats in series" if judged.num_repeats >= 2 else "no block runs twice in series"
    return f"{'different operator trace' if changed else 'the same operator trace'}, {layers}"
