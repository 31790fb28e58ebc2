"""The report of a run: one HTML file of all that was tried, to be read without a network or a program.

``python -m graphs.report NAME`` writes the report of a run again from its history, also while it is running.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from fairnad.domain.budget import Budget
from fairnad.errors import SettingsError
from fairnad.formatting import duration_text, quantity_text, rate_text, share_text, spread_text
from fairnad.ideas.attribute_tree import Category
from fairnad.ideas.idea import IdeaKind
from fairnad.records.candidate import Call, Stage
from fairnad.records.failure_report import failure_report
from fairnad.records.history import History, Record, accuracy
from fairnad.records.lineage import gain, lineage
from fairnad.records.spending import by_stage
from fairnad.search.finals import Finals
from fairnad.settings.search_settings import RunContext
from graphs.cli.arguments import Parser
from graphs.cli.exit_status import report_errors
from graphs.cli.output.spending import usd_text, yield_text
from graphs.report.charts import charts
from graphs.report.finals_text import verdict_text
from graphs.runtime.limits import resolve_budgets, stored_budgets
from graphs.runtime.roles import describe
from graphs.runtime.stored_runs import find_run, run_folders
from graphs.search.finals import find_finals
from store.disk import write_whole
from store.history_store import FILE_NAME, SqliteHistory
from store.run_folder import read_context

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
        "designer": describe(context),
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
    """What stands side by side: base, best, and the winner of the finals where it is neither of them."""
    records = [(base_title, history.base), ("best", history.best if history.trained else None), ("winner", winner)]
    compared: dict[str, tuple[str, Record]] = {}
    for name, record in records:
        if record is not None and record.trained:
            before = compared.get(record.candidate_id)
            compared[record.candidate_id] = (f"{before[0]}, {name}" if before else name, record)
    return list(compared.values())


def raised(history: History) -> Mapping[Stage, float]:
    """By how much the candidates of each stage raised the best so far, which begins with the base."""
    gains: defaultdict[Stage, float] = defaultdict(float)
    trained = [record for record in history.records if record.trained]
    highest = accuracy(trained[0]) if trained else 0.0
    for record in trained:
        gains[record.stage] += max(accuracy(record) - highest, 0.0)
        highest = max(accuracy(record), highest)
    return gains


def _drawn_in(history: History, stage: Stage) -> History:
    return History(record for record in history.drawn if record.stage is stage)


class CategoryResult(NamedTuple):
    """How the knowledge ideas of a main category did; ``gains`` are those over parents that can be compared."""

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
    """Every main category that was drawn, the highest mean gain first, those without one last."""
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
    """Write the report of the run in folder ``path`` from what the folder holds, and return where it lies.

    Raises:
        UserError: the folder holds no run, the run's pack or task is gone, or the report cannot be written.
    """
    context = read_context(path)
    with contextlib.closing(SqliteHistory(path / FILE_NAME, read_only=True)) as store:
        history = History(store.records())
        finals = find_finals(store, history)
        budgets = stored_budgets(store)
    return write_report(path, context, budgets or _stated_budgets(context), history, finals)


def _find(folder: Path) -> Path:
    """The run folder a person means; a name that is no folder is one of a run in the usual place."""
    runs = Path(RunContext.model_fields["runs"].default)
    is_name = not folder.is_dir() and folder.parent == Path() and run_folders(runs)
    return find_run(runs, folder.name) if is_name else folder


def _stated_budgets(context: RunContext) -> Sequence[Budget]:
    from prompts.loader import load_pack

    pack = load_pack(context.pack)
    if context.task not in pack.tasks:
        raise SettingsError(f"the run is of task {context.task}, which the pack {pack.name} no longer has")
    defaults = pack.tasks[context.task]
    return resolve_budgets(context, defaults, context.image_size or defaults.image_size)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report of a run and print where it lies.

    Returns:
        0, or 2 where the folder holds no run or the report cannot be written.
    """
    parser = Parser(prog="python -m graphs.report", description="Writes the report of a run.", allow_abbrev=False)
    parser.add_argument("folder", type=Path, help="name of a run below runs, or a run folder")

    def work() -> int:
        options = parser.parse_args(arguments)
        print(rewrite(_find(options.folder)))
        return 0

    return report_errors(work)
