"""``best``: the best candidate of a run and its ancestors; ``--out`` writes its result folder.

With ``--json``: ``run``, ``state``, ``num_trained``, ``archs``, ``candidate_id``, ``best_by`` (``finals`` or
``search``, as in ``runs``), ``accuracy``, ``costs``, ``limits``, ``shares`` of the limits, ``validation`` and
``held_out`` (accuracies with fresh seeds, after the finals), ``base`` (its ``accuracy``, ``validation`` and
``held_out``), ``comparison`` (winner against control or base, see
:func:`graphs.report.finals_text.comparison_facts`), ``over_base`` (gain), and ``lineage``, the oldest first
(``candidate_id``, ``note`` (the change), ``idea``, ``accuracy``, ``gain`` over the parent, ``costs``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from fairnad.domain.budget import load
from fairnad.errors import RunFolderError
from fairnad.formatting import printable, quantity_text, share_text, signed_text, spread_text
from fairnad.records.candidate import Evaluation
from fairnad.records.history import Record
from fairnad.records.lineage import accuracy_change, gain, lineage
from fairnad.search.finals import Finalist
from graphs.cli.arguments import Parser
from graphs.cli.commands.options import add_run
from graphs.cli.output.terminal import make_console, print_json, print_text
from graphs.report.finals_text import comparison_facts, verdict_text
from graphs.report.result_folder import PROGRAM_NAME, RESULT, read_result
from graphs.runtime.stored_runs import StoredRun, find_run, open_run
from store.result_files import holds, write_new

_BY = {"finals": "winner of the finals", "search": "highest validation accuracy in the search"}


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Print the best candidate of a run; with ``--out``, write the result folder.

    Raises:
        UserError: the run is unknown, has no trained candidate yet, or has no result to write.
    """
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write the result folder with best.py, its weights and its model card"
    )
    add_run(parser)
    options = parser.parse_args(arguments)
    with open_run(find_run(options.runs, options.run)) as run:
        best = run.best
        if best is None or best.evaluation is None:
            raise RunFolderError(f"nothing has trained yet in run {run.name}")
        if options.out is not None:
            write_new(options.out, _result(run))
        if options.json:
            print_json(_plain(run, best, best.evaluation))
        else:
            _print(make_console(), run, best, best.evaluation, options.out)
    return 0


def _result(run: StoredRun) -> dict[str, bytes]:
    files = read_result(run.path)
    if files and run.finals is None:
        raise RunFolderError(
            f"--out: a candidate was trained after the finals of {run.path}; start its search again to repeat "
            "the finals and store their result"
        )
    if not files:
        raise RunFolderError(
            f"--out: expected a finished search with a result, found none in {run.path}; start its search again, "
            "to finish it and store the result"
        )
    return files


def _print(console: Console, run: StoredRun, best: Record, evaluation: Evaluation, out: Path | None) -> None:
    count = f"{len(run.history.trained)} of {run.context.archs} trained"
    console.print(f"run {run.name}: {run.context.task}, seed {run.context.seed}; {run.state}, {count}\n")
    console.print(Text.assemble("best  ", (best.candidate_id, "bold"), f"  ({_BY[run.best_by]})"))
    base = run.history.base
    gained = accuracy_change(base, best) if base is not None and base is not best else None
    ahead = f", {signed_text(gained)} over the base" if gained is not None else ""
    console.print(f"  validation accuracy {evaluation.accuracy:.4f}{ahead}")
    title = run.finals.base_title if run.finals else "base"
    for what, values, base_values in _fresh(run):
        beside = f"; the {title} {spread_text(base_values)}" if base is not best else ""
        console.print(f"  {what} {spread_text(values)}{beside}")
    if run.finals is not None:
        print_text(console, verdict_text(run.finals), indent=2)
    shares = load(evaluation.costs, run.budgets)
    for name, cost in evaluation.costs.items():
        limit = next((budget.limit for budget in run.budgets if budget.name == name), None)
        share = f", {share_text(shares[name])} of {quantity_text(limit)}" if limit else ""
        console.print(f"  {cost:,.10g} {name}{share}")
    if run.why_no_budgets:
        console.print(f"  {run.why_no_budgets}")
    source = run.path / "sources" / f"{best.candidate_id}.py.txt"
    if source.exists():
        console.print(f"  source {source}")
    if text := _result_text(run, out):
        console.print(f"  result {text}")
    console.print()
    _print_lineage(console, run, best)


def _result_text(run: StoredRun, out: Path | None) -> str:
    """The path of the result folder, or how to write it (searches on a server do not); empty without a result."""
    if out is not None:
        return f"{out}  (python {out / PROGRAM_NAME} image.jpg)"
    files = read_result(run.path) if run.finals is not None else {}
    if not files:
        return ""
    folder = run.path / RESULT
    return str(folder) if holds(folder, files) else "is stored; --out DIR writes it as a folder"


def _print_lineage(console: Console, run: StoredRun, best: Record) -> None:
    """Each ancestor as a line of figures and a paragraph, at most 80 columns wide."""
    ancestry = lineage(run.history, best)
    names = list(dict.fromkeys(name for record in ancestry if record.evaluation for name in record.evaluation.costs))
    console.print(Text(_figures("lineage", "accuracy", "gain", names), "bold"))
    for record in ancestry:
        assert record.evaluation is not None, "who has a trained descendant is trained"
        gained = gain(run.history, record)
        costs = [quantity_text(record.evaluation.costs[name]) for name in names]
        gain_text = "" if gained is None else signed_text(gained)
        console.print(_figures(record.candidate_id, f"{record.evaluation.accuracy:.4f}", gain_text, costs))
        if record.note:
            print_text(console, printable(record.note), indent=4)
        idea = printable(record.idea.text) or ("" if record.parent_id else "the base model")
        if idea:
            print_text(console, Text(f"idea: {idea}" if record.note else idea, "dim"), indent=4)


def _figures(name: str, accuracy: str, gained: str, costs: Sequence[str]) -> str:
    return f"{name:<22}  {accuracy:>8}  {gained:>8}" + "".join(f"  {cost:>8}" for cost in costs)


def _fresh(run: StoredRun) -> list[tuple[str, list[float], list[float]]]:
    """(title, accuracies of the winner, accuracies of the base) with fresh seeds; empty before the finals."""
    if run.finals is None:
        return []
    winner, base = run.finals.winner, run.finals.base
    rows = [
        ("validation, fresh seeds", [*winner.validation.values()], [*base.validation.values()]),
        ("held out", [*winner.held_out.values()], [*base.held_out.values()]),
    ]
    return [row for row in rows if row[1]]


def _plain(run: StoredRun, best: Record, evaluation: Evaluation) -> dict[str, Any]:
    base = run.history.base
    return {
        "run": run.name,
        "state": str(run.state),
        "num_trained": len(run.history.trained),
        "archs": run.context.archs,
        "candidate_id": best.candidate_id,
        "best_by": run.best_by,
        "accuracy": evaluation.accuracy,
        "costs": dict(evaluation.costs),
        "limits": {budget.name: budget.limit for budget in run.budgets},
        "shares": load(evaluation.costs, run.budgets),
        **_finals_plain(run.finals.winner if run.finals else None),
        "base": {"accuracy": base.evaluation.accuracy if base and base.evaluation else None}
        | _finals_plain(run.finals.base if run.finals else None),
        "comparison": comparison_facts(run.finals),
        "over_base": accuracy_change(base, best) if base is not None else None,
        "lineage": [_ancestor(run, record) for record in lineage(run.history, best)],
    }


def _finals_plain(finalist: Finalist | None) -> dict[str, Any]:
    return {
        "validation": [*finalist.validation.values()] if finalist else [],
        "held_out": [*finalist.held_out.values()] if finalist else [],
    }


def _ancestor(run: StoredRun, record: Record) -> dict[str, Any]:
    assert record.evaluation is not None, "who has a trained descendant is trained"
    return {
        "candidate_id": record.candidate_id,
        "note": record.note,
        "idea": record.idea.text,
        "accuracy": record.evaluation.accuracy,
        "gain": gain(run.history, record),
        "costs": dict(record.evaluation.costs),
    }
