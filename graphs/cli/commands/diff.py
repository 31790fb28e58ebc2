"""``diff A B``: how two candidates of a run differ in source, costs and accuracy.

With ``--json``: ``run``, ``from`` and ``to`` (``candidate_id``, ``accuracy``, ``costs``, ``failure``), ``accuracy``
(the difference, ``None`` if the two cannot be compared), ``costs`` (the differences), ``classes_added``,
``classes_removed`` and ``diff``, a unified diff.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fairnad.errors import SettingsError
from fairnad.formatting import printable, signed_share_text, signed_text
from fairnad.records.candidate import plain
from fairnad.records.history import Record
from fairnad.records.lineage import accuracy_change, class_names, cost_changes, diff_lines
from graphs.cli.arguments import Parser
from graphs.cli.commands.options import CANDIDATE_HELP, add_run
from graphs.cli.output.terminal import make_console, print_json, print_table
from graphs.runtime.stored_runs import StoredRun, find_run, open_run

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Print how the second candidate differs from the first.

    Raises:
        UserError: the run or a candidate is unknown, or a candidate is not recorded yet.
    """
    parser.add_argument("first", metavar="A", help=CANDIDATE_HELP)
    parser.add_argument("second", metavar="B", help="another candidate")
    add_run(parser)
    options = parser.parse_args(arguments)
    with open_run(find_run(options.runs, options.run)) as run:
        first, second = (_recorded(run, text) for text in (options.first, options.second))
    if options.json:
        print_json(_plain(run.name, first, second))
    else:
        _print(make_console(), first, second)
    return 0


def _recorded(run: StoredRun, text: str) -> Record:
    record = run.history.get(run.find(text))
    if record is None:
        raise SettingsError(f"{run.find(text)} of run {run.name} is not recorded yet; `show` prints its progress")
    return record


def _print(console: Console, first: Record, second: Record) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    for _ in range(2):
        table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="left")
    table.add_row("", first.candidate_id, second.candidate_id, "")
    change = accuracy_change(first, second)
    incomparable = "trained by different recipes" if first.trained and second.trained else ""
    gain = signed_text(change) if change is not None else incomparable
    table.add_row("accuracy", _accuracy(first), _accuracy(second), Text(gain, _praise(change)))
    for name, (before, after) in cost_changes(first, second).items():
        percent = f" ({signed_share_text((after - before) / before)})" if before else ""
        table.add_row(name, f"{before:,.10g}", f"{after:,.10g}", f"{after - before:+,.10g}{percent}")
    print_table(console, table)
    for word, names in (
        ("added", class_names(second) - class_names(first)),
        ("removed", class_names(first) - class_names(second)),
    ):
        if names:
            console.print(f"classes {word}: {', '.join(sorted(names))}")
    console.print()
    _print_diff(console, diff_lines(first, second))


def _print_diff(console: Console, lines: Iterable[str]) -> None:
    text = Text()
    for number, line in enumerate(lines):
        style = "bold" if number < 2 else _STYLES.get(line[:1], "")
        text.append(f"{printable(line)}\n", style)
    console.print(text or "the sources are the same\n", end="")


def _accuracy(record: Record) -> str:
    if record.evaluation is not None:
        return f"{record.evaluation.accuracy:.4f}"
    assert record.failure is not None
    return f"{record.failure.step}: {record.failure.kind}"


def _praise(change: float | None) -> str:
    return "" if not change else "green" if change > 0 else "red"


def _plain(run_name: str, first: Record, second: Record) -> dict[str, Any]:
    return {
        "run": run_name,
        "from": _facts(first),
        "to": _facts(second),
        "accuracy": accuracy_change(first, second),
        "costs": {name: after - before for name, (before, after) in cost_changes(first, second).items()},
        "classes_added": sorted(class_names(second) - class_names(first)),
        "classes_removed": sorted(class_names(first) - class_names(second)),
        "diff": "\n".join(diff_lines(first, second)),
    }


def _facts(record: Record) -> dict[str, Any]:
    evaluation = record.evaluation
    return {
        "candidate_id": record.candidate_id,
        "accuracy": evaluation.accuracy if evaluation else None,
        "costs": dict(evaluation.costs) if evaluation else {},
        "failure": plain(record.failure),
    }
