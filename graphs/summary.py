"""What a search found, for the person who started it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from fairnad.history import History
from graphs.wording import quantity_text, rate_text, spread_text

if TYPE_CHECKING:
    from graphs.context import Bench

FILE_WIDTH = 140
"""Columns where the output is no terminal, so that tables are whole in log files."""


def print_summary(bench: Bench, history: History, outcome: Mapping[str, Any]) -> None:
    """Base and best with costs and accuracies, pass rates, failures, and where everything lies."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console = Console(highlight=False, soft_wrap=True, width=FILE_WIDTH)
    if outcome["outcome"] == "barren":
        (step, kind), count = history.failures().most_common(1)[0]
        console.print(
            f"stopped: the last {history.num_barren} draws brought no candidate that trains; "
            f"the commonest failure is {step}: {kind} ({count} of {len(history.drawn)} draws)",
            markup=False,
        )
    console.print(_comparison(bench, history, outcome.get("held_out", {})))
    strict = history.pass_rate(strict=True)
    console.print(
        f"{len(history.trained)} trained of {len(history.drawn)} drawn; pass rate {rate_text(history.pass_rate())}, "
        f"strict {rate_text(strict)}"
    )
    for (step, kind), count in history.failures().most_common(5):
        console.print(f"  {count:>3} × {step}: {kind}", markup=False)
    if history.best is not None:
        console.print(f"best architecture: {bench.folder.path}/sources/{history.best.candidate_id}.py.txt")
    if not bench.task.held_out_is_open:
        console.print("the test split stays closed; the same command with --final-test opens it and ends the search")


def _comparison(bench: Bench, history: History, held_out: Mapping[str, Sequence[float]]) -> Table:
    table = Table(title=f"{bench.context.task}, seed {bench.context.seed}", title_justify="left", box=SIMPLE)
    table.add_column("")
    table.add_column("candidate")
    for budget in bench.budgets:
        table.add_column(f"{budget.name} (≤ {quantity_text(budget.limit)})", justify="right")
    table.add_column("validation", justify="right")
    table.add_column("held out, mean ± s.d.", justify="right")
    for name, record in (("base", history.base), ("best", history.best)):
        if record is not None and record.evaluation is not None:
            costs = [quantity_text(record.evaluation.costs[budget.name]) for budget in bench.budgets]
            accuracy = f"{record.evaluation.accuracy:.4f}"
            table.add_row(
                name, record.candidate_id, *costs, accuracy, spread_text(held_out.get(record.candidate_id, []))
            )
    return table
