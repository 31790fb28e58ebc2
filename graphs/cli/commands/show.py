"""``show ID``: everything about one candidate, also while it is in progress.

With ``--json``: ``run``, ``candidate_id``, ``is_recorded``, ``record`` (the keys of :mod:`store.record_lines` without
the source; ``None`` until it is recorded), ``limits`` and ``shares`` by budget, ``gain`` over the parent, ``rank``
among the trained candidates, ``children`` (ids), ``steps`` (``step``, ``result``) and ``source``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from fairnad.domain.budget import load
from fairnad.formatting import count_text, duration_text, printable, quantity_text, share_text, signed_text
from fairnad.records.candidate import Call, Evaluation
from fairnad.records.draw_decisions import DrawDecisions
from fairnad.records.history import Record
from fairnad.records.lineage import children, gain, rank
from graphs.cli.arguments import Parser
from graphs.cli.commands.options import CANDIDATE_HELP, add_run
from graphs.cli.output.terminal import make_console, print_json, print_table
from graphs.report.step_history import describe_steps, newest_source
from graphs.runtime.stored_runs import StoredRun, find_run, open_run
from store.record_lines import without_source


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Print everything about a candidate.

    Raises:
        UserError: the run or candidate is unknown.
    """
    parser.add_argument("candidate", metavar="ID", help=CANDIDATE_HELP)
    add_run(parser)
    options = parser.parse_args(arguments)
    with open_run(find_run(options.runs, options.run)) as run:
        portrait = _portray(run, run.find(options.candidate))
        if options.json:
            print_json(_plain(run, portrait))
        else:
            _print(make_console(), run, portrait)
    return 0


class _Portrait(NamedTuple):
    candidate_id: str
    record: Record | None
    steps: list[tuple[str, str]]
    source: str


def _portray(run: StoredRun, candidate_id: str) -> _Portrait:
    record = run.history.get(candidate_id)
    steps = run.store.steps(candidate_id)
    return _Portrait(candidate_id, record, describe_steps(steps), record.source if record else newest_source(steps))


def _print(console: Console, run: StoredRun, portrait: _Portrait) -> None:
    console.print(Text(portrait.candidate_id, "bold"))
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="cyan")
    table.add_column(overflow="fold")
    for name, value in _rows(run, portrait):
        table.add_row(name, Text(printable(value)))
    print_table(console, table)
    record = portrait.record
    if record is not None and record.failure is not None and record.failure.log_tail.strip():
        console.print(Text("\nlog", "bold"))
        console.print(Text(printable(record.failure.log_tail.strip("\n")), "dim"))
    if record is not None and record.failure is not None and record.failure.shape_trace:
        console.print(Text("\nshapes", "bold"))
        console.print(Text(printable(record.failure.shape_trace), "dim"))
    console.print(Text("\nsource", "bold"))
    # As text, not as a block, so that the terminal wraps long lines and they can be copied whole.
    syntax = Syntax("", "python", theme="ansi_dark", background_color="default")
    console.print(syntax.highlight(printable(portrait.source).rstrip("\n") + "\n"), end="")


def _rows(run: StoredRun, portrait: _Portrait) -> Iterator[tuple[str, str]]:
    yield "run", f"{run.name} ({run.context.task}, seed {run.context.seed})"
    record = portrait.record
    if record is None:
        yield "outcome", "none yet: in progress, or waiting for the search to be resumed"
    else:
        yield from _origin(run, record)
        yield from _outcome(run, record)
    for number, (step, result) in enumerate(portrait.steps):
        yield "" if number else "steps", f"{step:<11}  {result}"
    if record is not None:
        for number, call in enumerate(record.calls):
            yield "" if number else "calls", _call(call)


def _origin(run: StoredRun, record: Record) -> Iterator[tuple[str, str]]:
    idea = record.idea
    if record.note:
        yield "done", record.note
    if idea.text:
        yield "idea", f"{idea.text} ({idea.kind})"
    if idea.tag is not None:
        yield "tag", str(idea.tag)
    if idea.source.title:
        year = f" ({idea.source.year})" if idea.source.year else ""
        yield "from", " ".join(filter(None, [f"{idea.source.title}{year}", idea.source.section, idea.source.link]))
    for number, (name, chosen) in enumerate(_chosen(record.choices)):
        yield "" if number else "chosen", f"{name:<10}  {chosen}"
    if record.parent_id:
        yield "parent", f"{record.parent_id}  {_accuracy(run.history.get(record.parent_id))}".rstrip()
    for number, child in enumerate(children(run.history, record)):
        yield "" if number else "children", f"{child.candidate_id:<21}  {_accuracy(child)}"


def _chosen(choices: DrawDecisions) -> Iterator[tuple[str, str]]:
    """The decisions made at the draw."""
    yield from ((name, value) for name, value in (("model", choices.model), ("form", choices.form)) if value)
    if choices.resample:
        yield "resampled", f"after {', '.join(choices.resample)}"
    yield from (("lesson", lesson) for lesson in choices.lessons)
    if choices.parts:
        yield "library", ", ".join(choices.parts)


def _outcome(run: StoredRun, record: Record) -> Iterator[tuple[str, str]]:
    if record.failure is not None:
        yield "outcome", f"{record.failure.step}: {record.failure.kind}: {record.failure.message}"
    if record.duplicate_of:
        yield "equals", record.duplicate_of
    if record.evaluation is not None:
        yield "outcome", ", ".join(_praise(run, record, record.evaluation))
        limits = {budget.name: budget.limit for budget in run.budgets}
        for number, (name, cost) in enumerate(record.evaluation.costs.items()):
            share = f"  {share_text(cost / limits[name]):>4} of {quantity_text(limits[name])}" if name in limits else ""
            yield "" if number else "costs", f"{name:<7} {cost:>13,.10g}{share}"
        if run.why_no_budgets:
            yield "", run.why_no_budgets
        for number, finding in enumerate(record.evaluation.findings):
            yield "" if number else "found", str(finding)
        if record.evaluation.curve:
            yield "curve", ", ".join(f"{accuracy:.4f} after {epoch}" for epoch, accuracy in record.evaluation.curve)
        yield "recipe", f"{record.evaluation.recipe_digest}, isolation {record.evaluation.isolation or 'unknown'}"
    yield "retries", f"{count_text(record.num_debugs, 'debug')}, {count_text(record.num_downscales, 'downscale')}"
    yield "time", f"{duration_text(record.seconds)} of calls and training"


def _praise(run: StoredRun, record: Record, evaluation: Evaluation) -> Iterator[str]:
    yield f"accuracy {evaluation.accuracy:.4f}"
    gained = gain(run.history, record)
    if gained is not None:
        yield f"{signed_text(gained)} over its parent"
    place = rank(run.history, record)
    if place is not None:
        yield f"rank {place} of {len(run.history.ranking)}"


def _accuracy(record: Record | None) -> str:
    if record is None:
        return ""
    if record.failure is not None:
        return f"{record.failure.step}: {record.failure.kind}"
    assert record.evaluation is not None
    return f"accuracy {record.evaluation.accuracy:.4f}"


def _call(call: Call) -> str:
    note = f"  {call.note}" if call.note else ""
    tokens = f"{call.input_tokens:,} → {call.output_tokens:,} tokens"
    return f"{call.role:<22}  {call.model}  {tokens}  {call.seconds:.1f} s{note}"


def _plain(run: StoredRun, portrait: _Portrait) -> dict[str, Any]:
    record = portrait.record
    costs = record.evaluation.costs if record is not None and record.evaluation is not None else None
    return {
        "run": run.name,
        "candidate_id": portrait.candidate_id,
        "is_recorded": record is not None,
        "record": without_source(record) if record is not None else None,
        "limits": {budget.name: budget.limit for budget in run.budgets},
        "shares": load(costs, run.budgets) if costs is not None else None,
        "gain": gain(run.history, record) if record is not None else None,
        "rank": rank(run.history, record) if record is not None else None,
        "children": [child.candidate_id for child in children(run.history, record)] if record is not None else [],
        "steps": [{"step": step, "result": result} for step, result in portrait.steps],
        "source": portrait.source,
    }
