"""What a search found, for the person who started it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from fairnad.finals import Finals
from fairnad.history import History, Record
from graphs.finals import FINALS
from graphs.wording import quantity_text, rate_text, spread_text

if TYPE_CHECKING:
    from graphs.context import Bench

FILE_WIDTH = 140
"""Columns where the output is no terminal, so that tables are whole in log files."""


def print_summary(bench: Bench, history: History, outcome: Mapping[str, Any]) -> None:
    """Base, finalists and winner with costs and accuracies, pass rates, failures, and where everything lies."""
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
    finals = FINALS.validate_python(outcome.get("finals"))
    console.print(_comparison(bench, history, finals))
    if finals is not None:
        _print_finals(console, finals, outcome)
    strict = history.pass_rate(strict=True)
    console.print(
        f"{len(history.trained)} trained of {len(history.drawn)} drawn; pass rate {rate_text(history.pass_rate())}, "
        f"strict {rate_text(strict)}"
    )
    for (step, kind), count in history.failures().most_common(5):
        console.print(f"  {count:>3} × {step}: {kind}", markup=False)
    if finals is None and history.best is not None:
        console.print(f"best architecture: {bench.folder.path}/sources/{history.best.candidate_id}.py.txt")
        console.print("nobody was retrained with fresh seeds (--search.confirm-seeds), so there is no result folder")
    if not bench.task.held_out_is_open:
        console.print("the test split stays closed; the same command with --final-test opens it and ends the search")


def _comparison(bench: Bench, history: History, finals: Finals | None) -> Table:
    table = Table(title=f"{bench.context.task}, seed {bench.context.seed}", title_justify="left", box=SIMPLE)
    table.add_column("")
    table.add_column("candidate")
    for budget in bench.budgets:
        table.add_column(f"{budget.name} (≤ {quantity_text(budget.limit)})", justify="right")
    table.add_column("in the search", justify="right")
    if finals is not None:
        table.add_column("validation, fresh seeds", justify="right")
        table.add_column("held out, fresh seeds", justify="right")
    for name, record in _compared(history, finals):
        if record.evaluation is not None:
            costs = [quantity_text(record.evaluation.costs[budget.name]) for budget in bench.budgets]
            accuracies = [f"{record.evaluation.accuracy:.4f}"]
            if finals is not None:
                finalist = finals[record.candidate_id]
                accuracies += [spread_text([*one.values()]) for one in (finalist.validation, finalist.held_out)]
            table.add_row(name, record.candidate_id, *costs, *accuracies)
    return table


def _compared(history: History, finals: Finals | None) -> list[tuple[str, Record]]:
    """Base first; then the finalists by rank, or the best where there were no finals."""
    if finals is None:
        return [(name, one) for name, one in (("base", history.base), ("best", history.best)) if one is not None]
    ids = [finals.base_id, *(one.candidate_id for one in finals.finalists if one.candidate_id != finals.base_id)]
    return [(_role(finals, candidate_id), history[candidate_id]) for candidate_id in ids]


def _role(finals: Finals, candidate_id: str) -> str:
    role = "base" if candidate_id == finals.base_id else "finalist"
    return f"{role}, winner" if candidate_id == finals.winner_id else role


def _print_finals(console: Console, finals: Finals, outcome: Mapping[str, Any]) -> None:
    rungs = outcome["rungs"]
    if len(rungs) > 1:
        steps = " → ".join(f"{rung['num_trained']} by {rung['recipe']}" for rung in rungs)
        console.print(f"screening and promotion: {steps}; the finals are by {finals.recipe_name}", markup=False)
    console.print(
        f"winner: {finals.winner_id}, by mean validation accuracy over fresh seeds"
        + (" (no finalist was better than the base)" if finals.winner_id == finals.base_id else "")
    )
    result = outcome["result"]
    console.print(f"result: {result['folder']}/  (python {result['folder']}/best.py image.jpg)", markup=False)
    for line in (result["trial"], result["onnx"]):
        console.print(f"  {line}", markup=False)
