"""The summary at the end of a search."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fairnad.formatting import count_text, printable, quantity_text, rate_text, share_text, spread_text
from fairnad.records.candidate import plain
from fairnad.records.failure_report import failure_report
from fairnad.records.history import History, PassRate, Record
from fairnad.records.spending import total
from fairnad.search.finals import Finals
from fairnad.search.stalls import find_stall
from graphs.cli.output.failure_text import summary_lines
from graphs.cli.output.spending import print_spending
from graphs.cli.output.terminal import make_console, make_table, print_table, print_text
from graphs.report.finals_text import comparison_facts, verdict_text
from graphs.report.spending_text import spending_facts
from graphs.runtime.stored_finals import FINALS

if TYPE_CHECKING:
    from graphs.runtime.run_services import RunServices


def print_summary(
    run: RunServices, history: History, outcome: Mapping[str, Any], console: Console | None = None
) -> None:
    """Print base and winner with costs and accuracies, pass rates, failures, and the paths of the results."""
    console = console or make_console()
    if outcome["outcome"] == "stalled":
        _print_stall(console, history, outcome["num_failed_in_row"])
    console.print(f"\n{run.context.task}, seed {run.context.seed}")
    finals = FINALS.validate_python(outcome.get("finals"))
    print_table(console, _comparison(run, history, finals))
    console.print()
    if finals is not None:
        _print_finals(console, finals, outcome)
    strict = history.pass_rate(strict=True)
    console.print(
        f"{len(history.trained)} trained of {len(history.drawn)} drawn; pass rate {rate_text(history.pass_rate())}, "
        f"strict {rate_text(strict)}"
    )
    for line in summary_lines(failure_report(history)):
        console.print(f"  {line}")
    if (idle := outcome.get("slot_idle_share")) is not None:
        console.print(
            f"training slots were idle {share_text(idle)} of the time between the first and the last training"
        )
    if (staleness := outcome.get("staleness")) is not None:
        console.print(f"on average, {staleness:.1f} other candidates were recorded between a draw and its own record")
    for (step, kind), count in history.failures().most_common(5):
        console.print(f"  {count:>3} × {step}: {kind}")
    if total(history).num_calls:
        console.print()
        print_spending(console, history)
    if finals is None and history.best is not None:
        console.print(f"best architecture: {run.folder.path}/sources/{history.best.candidate_id}.py.txt")
        console.print("no result folder, because nothing was retrained with fresh seeds (--search.confirm-seeds)")
    if not run.task.held_out_is_open:
        console.print("the test split was not used; the same command with --final-test uses it and ends the search")


def _print_stall(console: Console, history: History, num_failed_in_row: int) -> None:
    """Print the commonest failure, its last message, and advice."""
    reason = f"stopped: no candidate trained in the last {count_text(num_failed_in_row, 'draw')}"
    stall = find_stall(history, num_failed_in_row)
    if stall is None:
        console.print(reason)
        return
    share = f"{stall.num_failures} of {len(history.drawn)} draws"
    console.print(f"{reason}; the commonest failure is {stall.step}: {stall.kind} ({share})")
    console.print(Text(f"  last message: {printable(stall.message)}"))
    console.print(Text(f"  advice: {stall.advice}; the same command continues"))


def _comparison(run: RunServices, history: History, finals: Finals | None) -> Table:
    """Base and winner as columns, at most 80 characters wide."""
    winner = history[finals.winner_id] if finals is not None else history.best
    name = "winner" if finals is not None else "best"
    base_title = finals.base_title if finals is not None else "base"
    compared = {role: one for role, one in ((base_title, history.base), (name, winner)) if one and one.evaluation}
    headings = ["candidate", *(f"{one.name} (≤ {quantity_text(one.limit)})" for one in run.budgets), "in the search"]
    columns = []
    for record in compared.values():
        assert record.evaluation is not None, "only trained candidates are compared"
        costs = [quantity_text(record.evaluation.costs[budget.name]) for budget in run.budgets]
        columns.append([record.candidate_id, *costs, f"{record.evaluation.accuracy:.4f}"])
    if finals is not None:
        headings += ["fresh seeds ± s.d.", "held out ± s.d."]
        for record, column in zip(compared.values(), columns, strict=True):
            finalist = finals[record.candidate_id]
            column += [spread_text([*values.values()]) for values in (finalist.validation, finalist.held_out)]
    table = make_table("", *compared)
    for heading, *cells in zip(headings, *columns, strict=True):
        table.add_row(heading, *cells)
    return table


def _print_finals(console: Console, finals: Finals, outcome: Mapping[str, Any]) -> None:
    """Print the winner, its comparison with the base, and its result folder."""
    rungs = outcome["rungs"]
    if len(rungs) > 1:
        steps = " → ".join(f"{rung['num_trained']} by {rung['recipe']}" for rung in rungs)
        console.print(f"screening and promotion: {steps}; finals by {finals.recipe_name}")
    others = [
        f"{one.candidate_id} {spread_text([*one.validation.values()])}"
        for one in finals.finalists
        if one.candidate_id not in (finals.winner_id, finals.base_id)
    ]
    console.print(f"winner: {finals.winner_id}, by mean validation accuracy over fresh seeds")
    print_text(console, verdict_text(finals), indent=2)
    for other in others:
        console.print(f"  other finalist: {other}")
    result = outcome["result"]
    console.print(f"result: {result['folder']}/  (python {shlex.quote(result['folder'] + '/best.py')} image.jpg)")
    for line in (result["trial"], result["onnx"]):
        console.print(f"  {line}")


def facts(run: RunServices, history: History, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """The summary for programs, as JSON data.

    ``outcome`` (``finished``, or ``stalled`` with ``stall``, the fields of
    :class:`fairnad.search.stalls.Stall`), ``folder``, ``result`` (the folder of the winner, or ``None``), ``base``,
    ``control`` (the base if it was widened to the limits), ``best`` and ``winner`` (``None``, or ``candidate_id``,
    ``accuracy`` on the validation images in the search, ``costs``, and accuracies with fresh seeds, ``validation`` and
    ``held_out``), ``comparison`` (winner minus control or base, see
    :func:`graphs.report.finals_text.comparison_facts`), ``num_trained``, ``num_drawn``,
    ``pass_rate`` and ``strict_pass_rate`` (``value``, ``num_draws``), ``failures`` (``step``, ``kind``, ``count``),
    the commonest first, ``failure_report`` (the fields of :class:`fairnad.records.failure_report.FailureReport`) and
    ``spending`` (see :func:`graphs.cli.output.spending.spending_facts`). ``slot_idle_share`` is the fraction of time,
    in [0, 1], in which slots were idle between the first and the last training; ``staleness`` is the mean number of
    candidates recorded between a draw and its own record; both are ``None`` if unknown. Accuracies are in [0, 1].
    """
    finals = FINALS.validate_python(outcome.get("finals"))
    return {
        "outcome": outcome["outcome"],
        **(
            {"stall": plain(find_stall(history, outcome["num_failed_in_row"]))}
            if outcome["outcome"] == "stalled"
            else {}
        ),
        "folder": str(run.folder.path),
        "result": outcome["result"]["folder"] if finals is not None else None,
        "base": _describe(history.base, finals),
        "control": _describe(history.base, finals) if finals is not None and finals.control_id else None,
        "best": _describe(history.best, finals),
        "winner": _describe(history[finals.winner_id], finals) if finals is not None else None,
        "comparison": comparison_facts(finals),
        "num_trained": len(history.trained),
        "num_drawn": len(history.drawn),
        "slot_idle_share": outcome.get("slot_idle_share"),
        "staleness": outcome.get("staleness"),
        "pass_rate": _rate(history.pass_rate()),
        "strict_pass_rate": _rate(history.pass_rate(strict=True)),
        "failures": [
            {"step": step, "kind": kind, "count": count} for (step, kind), count in history.failures().most_common()
        ],
        "failure_report": plain(failure_report(history)),
        "spending": spending_facts(history),
    }


def _describe(record: Record | None, finals: Finals | None) -> dict[str, Any] | None:
    if record is None or record.evaluation is None:
        return None
    finalist = finals[record.candidate_id] if finals is not None and record.candidate_id in finals else None
    return {
        "candidate_id": record.candidate_id,
        "accuracy": record.evaluation.accuracy,
        "costs": dict(record.evaluation.costs),
        "validation": list(finalist.validation.values()) if finalist else [],
        "held_out": list(finalist.held_out.values()) if finalist else [],
    }


def _rate(rate: PassRate) -> dict[str, Any]:
    return {"value": rate.value, "num_draws": rate.num_draws}
