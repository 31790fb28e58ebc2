"""The report of a run: one HTML file that needs neither a network nor a program."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from fairnad.domain.budget import Budget
from fairnad.formatting import duration_text, quantity_text, rate_text, share_text, spread_text
from fairnad.ideas.attribute_tree import Category
from fairnad.ideas.idea import IdeaKind
from fairnad.records.candidate import Call, Stage
from fairnad.records.failure_report import failure_report
from fairnad.records.history import History, Record, accuracy
from fairnad.records.lineage import gain, lineage
from fairnad.records.spending import by_stage
from fairnad.search.finals import Finals
from fairnad.settings.casting import describe_players
from fairnad.settings.search_settings import RunContext
from graphs.report.charts import charts
from graphs.report.finals_text import verdict_text
from graphs.report.spending_text import usd_text, yield_text
from graphs.runtime.stored_runs import open_run
from store.disk import write_whole

REPORT_NAME = "report.html"
TEMPLATE_NAME = "report.html"


def write_report(
    path: Path,
    context: RunContext,
    budgets: Sequence[Budget],
    history: History,
    finals: Finals | None,
) -> Path:
    """Write ``report.html`` into the run folder ``path``, whole or not at all, and return where it lies.

    Args:
        finals: how base and finalists did with fresh seeds; ``None`` before the end.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    report = path / REPORT_NAME
    trained = [record for record in history.records if record.evaluation]
    best = history.best if history.trained else None
    winner = history[finals.winner_id] if finals is not None else best
    contents = {
        "context": context,
        "designer": describe_players(context),
        "budgets": budgets,
        "history": history,
        "finals": finals,
        "verdict": verdict_text(finals) if finals is not None else "",
        "base": history.base if history.base is not None and history.base.trained else None,
        "best": best,
        "compared": _compared(history, winner if finals else None, finals.base_title if finals else "base"),
        "recipes": {record.evaluation.recipe_digest for record in trained if record.evaluation},
        "charts": charts(history, budgets),
        "charted_stages": [stage for stage in Stage if any(record.stage is stage for record in trained)],
        "lineage": [(record, gain(history, record)) for record in lineage(history, winner)],
        "stages": {stage: part for stage in Stage if (part := _drawn_in(history, stage)).drawn},
        "raised": raised(history),
        "categories": categories(history),
        "failures": failures(history),
        "met": failure_report(history),
        "findings": [
            (record, finding) for record in trained if record.evaluation for finding in record.evaluation.findings
        ],
        "calls": calls(history),
        "spent_by_stage": by_stage(history),
        "what_it_brought": yield_text(history),
    }
    write_whole(report, _template().generate(contents))
    return report


def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # ideas, sources and messages come from language models
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "quantity": quantity_text,
        "rate": rate_text,
        "share": share_text,
        "usd": usd_text,
        "duration": duration_text,
        "spread": lambda values: spread_text([*values]),
        "signed": lambda value: "–" if value is None else f"{value:+.4f}".replace("-", "−"),
    }
    return environment.get_template(TEMPLATE_NAME)


def _compared(history: History, winner: Record | None, base_title: str) -> list[tuple[str, Record]]:
    """The columns of the comparison: base, best, and the winner of the finals if it is neither of them."""
    records = [(base_title, history.base), ("best", history.best if history.trained else None), ("winner", winner)]
    compared: dict[str, tuple[str, Record]] = {}
    for name, record in records:
        if record is not None and record.trained:
            before = compared.get(record.candidate_id)
            compared[record.candidate_id] = (f"{before[0]}, {name}" if before else name, record)
    return list(compared.values())


def raised(history: History) -> Mapping[Stage, float]:
    """How much the candidates of each stage improved the best value so far, starting from the base."""
    gains: defaultdict[Stage, float] = defaultdict(float)
    trained = [record for record in history.records if record.trained]
    best = accuracy(trained[0]) if trained else 0.0
    for record in trained:
        gains[record.stage] += max(history.objective.gain(accuracy(record), best), 0.0)
        best = history.objective.best([best, accuracy(record)])
    return gains


def _drawn_in(history: History, stage: Stage) -> History:
    return History(record for record in history.drawn if record.stage is stage)


class CategoryResult(NamedTuple):
    """Results of the knowledge ideas of a main category; ``gains`` are those over comparable parents."""

    category: Category
    num_drawn: int
    num_trained: int
    gains: Sequence[float]

    @property
    def num_improved(self) -> int:
        """How many candidates are better than their parent."""
        return sum(value > 0 for value in self.gains)

    @property
    def mean_gain(self) -> float | None:
        """The mean of the gains, ``None`` without any."""
        return mean(self.gains) if self.gains else None


def categories(history: History) -> list[CategoryResult]:
    """Every main category that was drawn, sorted by mean gain; those without a gain come last."""
    drawn: defaultdict[Category, list[Record]] = defaultdict(list)
    for record in history.drawn:
        if record.idea.kind is IdeaKind.KNOWLEDGE and record.idea.tag is not None:
            drawn[record.idea.tag.category].append(record)
    results = []
    for category, records in drawn.items():
        gains = [value for record in records if (value := gain(history, record)) is not None]
        results.append(CategoryResult(category, len(records), sum(record.trained for record in records), gains))
    return sorted(results, key=lambda one: (one.mean_gain is None, -(one.mean_gain or 0.0), one.category))


def failures(history: History) -> list[list[Record]]:
    """The draws that failed, those of the same step and kind together, the commonest first."""
    groups: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in history.drawn:
        if record.failure is not None:
            groups[record.failure.step, record.failure.kind].append(record)
    return sorted(groups.values(), key=len, reverse=True)


def calls(history: History) -> Mapping[str, Sequence[Call]]:
    """The calls of language models for recorded candidates, by role."""
    by_role: defaultdict[str, list[Call]] = defaultdict(list)
    for record in history.records:
        for call in record.calls:
            by_role[call.role].append(call)
    return dict(sorted(by_role.items()))


def rewrite(path: Path) -> Path:
    """Write the report of the run in folder ``path`` from its history and return the path of the report.

    Raises:
        UserError: the folder holds no run, the run's pack or task is gone, or the report cannot be written.
    """
    with open_run(path) as run:
        return write_report(path, run.context, run.read_budgets(), run.history, run.finals)
