"""What a search found, for the person who started it."""

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
from graphs.cli.output.spending import print_spending, spending_facts
from graphs.cli.output.terminal import make_console, make_table, print_table, print_text
from graphs.report.finals_text import comparison_facts, verdict_text
from graphs.search.finals import FINALS

if TYPE_CHECKING:
    from graphs.runtime.run_services import Bench


def print_summary(bench: Bench, history: History, outcome: Mapping[str, Any], console: Console | None = None) -> None:
    """Base and winner with costs and accuracies, pass rates, failures, and where everything lies."""
    console = console or make_console()
    if outcome["outcome"] == "barren":
        _print_stall(console, history, outcome["num_barren"])
    console.print(f"\n{bench.context.task}, seed {bench.context.seed}")
    finals = FINALS.validate_python(outcome.get("finals"))
    print_table(console, _comparison(bench, history, finals))
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
            f"the training slots stood idle {share_text(idle)} of the time between the first and the last training"
        )
    if (staleness := outcome.get("staleness")) is not None:
        console.print(f"between a draw and its own record {staleness:.1f} other candidates were recorded, on average")
    for (step, kind), count in history.failures().most_common(5):
        console.print(f"  {count:>3} × {step}: {kind}")
    if total(history).num_calls:
        console.print()
        print_spending(console, history)
    if finals is None and history.best is not None:
        console.print(f"best architecture: {bench.folder.path}/sources/{history.best.candidate_id}.py.txt")
        console.print("nothing was trained with fresh seeds (--search.confirm-seeds), so there is no result folder")
    if not bench.task.held_out_is_open:
        console.print("the test split stays closed; the same command with --final-test opens it and ends the search")


def _print_stall(console: Console, history: History, num_barren: int) -> None:
    """Why nothing trains, in the failing party's own words, and what helps."""
    said = f"stopped: the last {count_text(num_barren, 'draw')} brought no candidate that trains"
    stall = find_stall(history, num_barren)
    if stall is None:
        console.print(said)
        return
    share = f"{stall.num_failures} of {len(history.drawn)} draws"
    console.print(f"{said}; the commonest failure is {stall.step}: {stall.kind} ({share})")
    console.print(Text(f"  last message: {printable(stall.message)}"))
    console.print(Text(f"  what helps: {stall.advice}; the same command draws on"))


def _comparison(bench: Bench, history: History, finals: Finals | None) -> Table:
    """Base and winner side by side, which fits a terminal of 80 columns."""
    winner = history[finals.winner_id] if finals is not None else history.best
    name = "winner" if finals is not None else "best"
    base_title = finals.base_title if finals is not None else "base"
    compared = {role: one for role, one in ((base_title, history.base), (name, winner)) if one and one.evaluation}
    headings = ["candidate", *(f"{one.name} (≤ {quantity_text(one.limit)})" for one in bench.budgets), "in the search"]
    columns = []
    for record in compared.values():
        assert record.evaluation is not None, "only what has trained is compared"
        costs = [quantity_text(record.evaluation.costs[budget.name]) for budget in bench.budgets]
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
    """Who won and by what, and the folder a person walks away with."""
    rungs = outcome["rungs"]
    if len(rungs) > 1:
        steps = " → ".join(f"{rung['num_trained']} by {rung['recipe']}" for rung in rungs)
        console.print(f"screening and promotion: {steps}; the finals are by {finals.recipe_name}")
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


def facts(bench: Bench, history: History, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """The same for programs, as JSON data.

    ``outcome`` (``finished`` or ``barren``; then there is ``stall``, the fields of
    :class:`fairnad.search.stalls.Stall`), ``folder``, ``result`` (the folder of the winner, or ``None``), ``base``,
    ``control`` (the base where it was widened to the limits), ``best`` and ``winner`` (``None``, or ``candidate_id``,
    ``accuracy`` on the validation images in the search, ``costs``, and of trainings with fresh seeds ``validation`` and
    ``held_out``), ``comparison`` (winner minus control or base, see
    :func:`graphs.report.finals_text.comparison_facts`), ``num_trained``, ``num_drawn``,
    ``pass_rate`` and ``strict_pass_rate`` (``value``, ``num_draws``), ``failures`` (``step``, ``kind``, ``count``),
    the commonest first, ``failure_report`` (the fields of :class:`fairnad.records.failure_report.FailureReport`) and
    ``spending`` (see :func:`graphs.cli.output.spending.spending_facts`). ``slot_idle_share`` is the part of the time in
    [0, 1] the slots stood empty between the first and the last training of the search, ``staleness`` how many
    candidates were recorded between a draw and its own record on average; ``None`` where unknown. Accuracies lie in
    [0, 1].
    """
    finals = FINALS.validate_python(outcome.get("finals"))
    return {
        "outcome": outcome["outcome"],
        **({"stall": plain(find_stall(history, outcome["num_barren"]))} if outcome["outcome"] == "barren" else {}),
        "folder": str(bench.folder.path),
        "result": outcome["result"]["folder"] if finals is not None else None,
        "base": _told(history.base, finals),
        "control": _told(history.base, finals) if finals is not None and finals.control_id else None,
        "best": _told(history.best, finals),
        "winner": _told(history[finals.winner_id], finals) if finals is not None else None,
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


def _told(record: Record | None, finals: Finals | None) -> dict[str, Any] | None:
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
