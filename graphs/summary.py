"""What a search found, for the person who started it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from fairnad.history import History, PassRate, Record
from graphs.terminal import make_console, make_table, print_table
from graphs.wording import count_text, quantity_text, rate_text, spread_text

if TYPE_CHECKING:
    from graphs.context import Bench


def print_summary(bench: Bench, history: History, outcome: Mapping[str, Any], console: Console | None = None) -> None:
    """Base and best with costs and accuracies, pass rates, failures, and where everything lies."""
    console = console or make_console()
    if outcome["outcome"] == "barren":
        (step, kind), count = history.failures().most_common(1)[0]
        console.print(
            f"stopped: the last {count_text(history.num_barren, 'draw')} brought no candidate that trains; "
            f"the commonest failure is {step}: {kind} ({count} of {len(history.drawn)} draws)"
        )
    console.print(f"\n{bench.context.task}, seed {bench.context.seed}")
    print_table(console, _comparison(bench, history, outcome.get("held_out", {})))
    console.print()
    strict = history.pass_rate(strict=True)
    console.print(
        f"{len(history.trained)} trained of {len(history.drawn)} drawn; pass rate {rate_text(history.pass_rate())}, "
        f"strict {rate_text(strict)}"
    )
    for (step, kind), count in history.failures().most_common(5):
        console.print(f"  {count:>3} × {step}: {kind}")
    if history.best is not None:
        console.print(f"best architecture: {bench.folder.path}/sources/{history.best.candidate_id}.py.txt")


def _comparison(bench: Bench, history: History, held_out: Mapping[str, Sequence[float]]) -> Table:
    """Base and best side by side, which fits a terminal of 80 columns."""
    compared = {
        name: record
        for name, record in (("base", history.base), ("best", history.best))
        if record and record.evaluation
    }
    table = make_table("", *compared)
    columns = []
    for record in compared.values():
        if record.evaluation is not None:
            costs = [quantity_text(record.evaluation.costs[budget.name]) for budget in bench.budgets]
            spread = spread_text(held_out.get(record.candidate_id, []))
            columns.append([record.candidate_id, *costs, f"{record.evaluation.accuracy:.4f}", spread])
    limits = [f"{budget.name} (≤ {quantity_text(budget.limit)})" for budget in bench.budgets]
    for heading, *cells in zip(["candidate", *limits, "validation", "held out ± s.d."], *columns, strict=True):
        table.add_row(heading, *cells)
    return table


def facts(bench: Bench, history: History, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """The same for programs, as JSON data.

    ``outcome`` (``finished`` or ``barren``), ``folder``, ``base`` and ``best`` (``None``, or ``candidate_id``,
    ``accuracy`` on the validation images, ``costs``, ``held_out``: accuracies of fresh trainings), ``num_trained``,
    ``num_drawn``, ``pass_rate`` and ``strict_pass_rate`` (``value``, ``num_draws``), and ``failures`` (``step``,
    ``kind``, ``count``), the commonest first. Accuracies lie in [0, 1].
    """
    held_out = outcome.get("held_out", {})
    return {
        "outcome": outcome["outcome"],
        "folder": str(bench.folder.path),
        "base": _told(history.base, held_out),
        "best": _told(history.best, held_out),
        "num_trained": len(history.trained),
        "num_drawn": len(history.drawn),
        "pass_rate": _rate(history.pass_rate()),
        "strict_pass_rate": _rate(history.pass_rate(strict=True)),
        "failures": [
            {"step": step, "kind": kind, "count": count} for (step, kind), count in history.failures().most_common()
        ],
    }


def _told(record: Record | None, held_out: Mapping[str, Sequence[float]]) -> dict[str, Any] | None:
    if record is None or record.evaluation is None:
        return None
    return {
        "candidate_id": record.candidate_id,
        "accuracy": record.evaluation.accuracy,
        "costs": dict(record.evaluation.costs),
        "held_out": list(held_out.get(record.candidate_id, [])),
    }


def _rate(rate: PassRate) -> dict[str, Any]:
    return {"value": rate.value, "num_draws": rate.num_draws}
