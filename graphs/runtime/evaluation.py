"""Evaluates one source file on a task, without a search: costs, verdict and accuracy."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fairnad.domain.budget import load
from fairnad.errors import BaseModelError
from fairnad.records.candidate import CheckReport, Evaluation, Failure, Finding
from fairnad.settings.search_settings import RunContext
from graphs.runtime.inputs import read_inputs
from graphs.runtime.isolation import refuse_weak_isolation


@dataclass(frozen=True, slots=True)
class SourceEvaluation:
    """The evaluation of one source.

    ``report`` is ``None`` if the source does not run, ``evaluation`` if it was not trained; ``failure`` says why.
    ``shares`` are the costs as shares of the task's limits; a share above 1 is over budget.
    """

    report: CheckReport | None
    shares: Mapping[str, float]
    evaluation: Evaluation | None
    failure: Failure | None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of the integrity checks."""
        return self.evaluation.findings if self.evaluation else self.report.findings if self.report else ()


def evaluate_file(path: Path, context: RunContext | None = None, *, trains: bool = True) -> SourceEvaluation:
    """Check, measure and train a file that defines ``Network(num_classes)``, in the sandbox.

    Args:
        path: a Python source.
        context: task, recipe and limits; default: ``RunContext()``. The accuracy is measured on the validation split
        after training with ``context.seed``.
        trains: ``False`` stops after the check.

    Raises:
        UserError: the file, a setting or the data cannot be used.
        LabError: the sandbox does not start.
    """
    try:
        source = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BaseModelError(f"{path}: expected a Python source, found {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BaseModelError(f"{path}: expected a Python source in UTF-8, found other bytes") from error
    return asyncio.run(_evaluate(source, context or RunContext(), trains=trains))


async def _evaluate(source: str, context: RunContext, *, trains: bool) -> SourceEvaluation:
    from tools.lab import TorchLab

    inputs = await asyncio.to_thread(read_inputs, context)
    budgets = inputs.stated_budgets
    with tempfile.TemporaryDirectory(prefix="fairnad-") as scratch:
        limited = [budget.name for budget in budgets]
        lab = TorchLab(inputs.task, inputs.recipe, context.lab, Path(scratch), limited)
        try:
            await lab.start()
            refuse_weak_isolation(context, lab.isolation)
            report = await lab.check(source)
            if isinstance(report, Failure):
                return SourceEvaluation(None, {}, None, report)
            shares = load(report.costs, budgets)
            if not trains:
                return SourceEvaluation(report, shares, None, None)
            trained = await lab.train(source, seed=context.seed)
        finally:
            await lab.close()
    if isinstance(trained, Failure):
        return SourceEvaluation(report, shares, None, trained)
    return SourceEvaluation(report, shares, trained, None)
