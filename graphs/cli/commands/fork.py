"""``fork RUN[@CHECKPOINT] NEW [FLAGS]``: a new run that starts from an earlier point of another run.

``fork RUN`` without a new name lists the LangGraph checkpoints of the run. The new run gets its own folder with a copy
of the records up to the checkpoint, and starts from the state of the checkpoint, including edits made in LangGraph
Studio. Settings that decide what a record means cannot be changed.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from pathlib import Path

from fairnad.errors import SettingsError
from fairnad.settings.search_settings import RunContext, changed_settings
from graphs.cli.arguments import PROGRAM, Parser
from graphs.cli.output.terminal import make_console, print_json, print_table
from graphs.cli.settings_parser import add_settings, read_settings
from graphs.runtime.stored_runs import find_run
from store.run_folder import SETTINGS_NAME, read_context

_COMMON = {"run": ("runs", "archs"), "language model": ("llm.model", "llm.base_url")}
SHARED = ("task", "image-size", "base", "recipe", "epochs", "seed", "max-params", "max-flops")
"""Flags whose values decide what a record says; a fork keeps them."""


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Create the new run, or list the checkpoints.

    Raises:
        UserError: the run or checkpoint is unknown, the new run exists already, or a flag cannot be changed.
    """
    parser.add_argument(
        "origin", metavar="RUN[@CHECKPOINT]", help="run and checkpoint to start from (default: the newest checkpoint)"
    )
    parser.add_argument(
        "new", metavar="NEW", nargs="?", default="", help="name of the new run; without it, list the checkpoints"
    )
    parser.add_argument("--json", action="store_true", help="print only one JSON object")
    add_settings(parser, RunContext, _COMMON)
    options = parser.parse_args(arguments)
    given = read_settings(options, parser, RunContext)
    name, _, checkpoint = options.origin.partition("@")
    origin = find_run(Path(given.runs), name)
    if not options.new:
        return asyncio.run(_list(origin, options.json))
    old = read_context(origin)
    context = read_settings(options, parser, RunContext, begun_with=old)
    new = context.model_copy(update={"run": options.new, "runs": given.runs})
    _refuse_changes(old, new)
    return asyncio.run(_fork(origin, checkpoint, new, options.json))


def _refuse_changes(old: RunContext, new: RunContext) -> None:
    for change in changed_settings(old, new):
        if change.split()[0].removeprefix("--") in SHARED:
            raise SettingsError(f"a fork shares records with {old.run_name} and keeps its settings: {change}")


async def _list(origin: Path, as_json: bool) -> int:
    from graphs.search.forking import list_checkpoints

    found = await list_checkpoints(origin)
    if as_json:
        print_json({"run": origin.name, "checkpoints": found})
        return 0
    from rich.table import Table

    table = Table(box=None)
    for heading in ("checkpoint", "next", "stage", "trained", "best"):
        table.add_column(heading)
    for row in found:
        table.add_row(row["checkpoint"], row["next"], row["stage"], str(row["num_trained"]), row["best_id"])
    print_table(make_console(), table)
    return 0


async def _fork(origin: Path, checkpoint: str, new: RunContext, as_json: bool) -> int:
    from graphs.search.forking import fork_run

    forked = await fork_run(origin, checkpoint, new)
    if as_json:
        print_json(
            {"run": new.run, "checkpoint": forked.checkpoint_id, "thread": forked.thread, "records": forked.num_records}
        )
    else:
        print(
            f"{forked.num_records} records of {origin} were copied to {forked.path}; continue with\n"
            f"  {PROGRAM} --config {shlex.quote(f'{forked.path}/{SETTINGS_NAME}')}"
        )
    return 0
