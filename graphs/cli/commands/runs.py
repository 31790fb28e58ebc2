"""``runs``: all runs in a table, the most recent first.

With ``--json``: ``runs``, each with ``run``, ``task``, ``seed``, ``designer`` (the language model, ``built-in``, or
both), ``num_trained``, ``archs``, ``best_id``, ``best_by`` (``finals``: winner of the finals; ``search``: highest
validation accuracy, before the finals), ``best_accuracy`` (validation accuracy in the search), ``state`` (running,
finished, stalled, stopped) and ``changed`` (UTC, ISO 8601); a folder that cannot be read has ``run`` and ``error``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.text import Text

from fairnad.errors import UserError
from fairnad.settings.casting import name_designers
from graphs.cli.arguments import Parser
from graphs.cli.commands.options import add_place
from graphs.cli.output.terminal import make_console, make_table, print_json, print_table, print_text
from graphs.runtime.stored_runs import last_change, open_run, run_folders

_MARKS = {"finals": "*", "search": " "}
_STYLES = {"running": "green", "stalled": "red", "stopped": "yellow"}


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Print the table, and below it the folders that cannot be read."""
    add_place(parser)
    options = parser.parse_args(arguments)
    rows = [_row(path) for path in sorted(run_folders(options.runs), key=last_change, reverse=True)]
    if options.json:
        print_json({"runs": rows})
    else:
        _print(options.runs, rows)
    return 0


def _row(path: Path) -> dict[str, Any]:
    try:
        with open_run(path) as run:
            best = run.best
            return {
                "run": run.name,
                "task": run.context.task,
                "seed": run.context.seed,
                "designer": name_designers(run.context),
                "num_trained": len(run.history.trained),
                "archs": run.context.archs,
                "best_id": best.candidate_id if best else None,
                "best_by": run.best_by if best else None,
                "best_accuracy": best.evaluation.accuracy if best and best.evaluation else None,
                "state": str(run.state),
                "changed": datetime.fromtimestamp(last_change(path), UTC).isoformat(timespec="seconds"),
            }
    except UserError as error:
        return {"run": path.name, "error": str(error)}


def _print(runs: Path, rows: Sequence[dict[str, Any]]) -> None:
    console = make_console()
    if not rows:
        console.print(f"no runs in {runs}")
        return
    table = make_table(
        *("run", "task", "seed", "designer", "trained", "best", "state", "changed"), numbers={"seed", "trained", "best"}
    )
    for row in rows:
        if "error" not in row:
            best = "-" if row["best_accuracy"] is None else f"{row['best_accuracy']:.4f}{_MARKS[row['best_by']]}"
            trained = f"{row['num_trained']}/{row['archs']}"
            state = Text(row["state"], _STYLES.get(row["state"], ""))
            changed = datetime.fromisoformat(row["changed"]).astimezone().strftime("%Y-%m-%d %H:%M")
            names = (row["run"], row["task"], str(row["seed"]), row["designer"])
            table.add_row(*names, trained, best, state, changed)
    if table.row_count:
        print_table(console, table)
        print_text(console, Text("best: accuracy in the search; *: winner of the finals, otherwise the highest"))
    for row in rows:
        if "error" in row:
            console.print(Text.assemble((f"broken: {row['run']}", "red"), f": {row['error']}"))
