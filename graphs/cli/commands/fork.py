"""``fork RUN[@CHECKPOINT] NEW [FLAGS]``: a new run that shares what another had found up to a point.

Checkpoints are those of LangGraph, as ``fork RUN`` without a new name and LangGraph Studio list them; without one the
newest is taken. The new run has a folder of its own, into which the records up to that point are copied, and begins
with what was changed in the state there. Flags may change what does not decide how a record is to be read.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from pathlib import Path

from fairnad.errors import SettingsError
from fairnad.settings.search_settings import RunContext, changed_settings
from graphs.cli.arguments import PROGRAM, Parser
from graphs.cli.commands.options import add_place
from graphs.cli.output.terminal import make_console, print_json, print_table
from graphs.runtime.stored_runs import find_run
from store.run_folder import SETTINGS_NAME, read_context

SHARED = ("task", "image-size", "base", "recipe", "epochs", "seed", "max-params", "max-flops")
"""Flags whose values decide what a record says; a fork keeps them."""


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Make the run, or list the checkpoints one could begin at.

    Raises:
        UserError: there is no such run or checkpoint, the new one exists, or a flag cannot be changed.
    """
    from graphs.cli.search_command import parse_settings

    parser.epilog = "All flags of a search can be given besides."
    parser.add_argument("origin", metavar="RUN[@CHECKPOINT]", help="where to begin")
    parser.add_argument("new", metavar="NEW", nargs="?", default="", help="name of the new run; none: list checkpoints")
    add_place(parser)
    options, rest = parser.parse_known_args(arguments)
    name, _, checkpoint = options.origin.partition("@")
    origin = find_run(options.runs, name)
    if not options.new:
        return asyncio.run(_list(origin, options.json))
    context = parse_settings(
        Parser(add_help=False, allow_abbrev=False), [*rest, "--config", f"{origin}/{SETTINGS_NAME}"]
    )
    new = context.model_copy(update={"run": options.new, "runs": str(options.runs)})
    _refuse_changes(read_context(origin), new)
    return asyncio.run(_fork(origin, checkpoint, new, options.json))


def _refuse_changes(old: RunContext, new: RunContext) -> None:
    for change in changed_settings(old, new):
        if change.split()[0].removeprefix("--") in SHARED:
            raise SettingsError(f"a fork shares records with {old.run_name} and keeps its settings: {change}")


async def _list(origin: Path, as_json: bool) -> int:
    from graphs.runtime.forking import list_checkpoints

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
    from graphs.runtime.forking import fork_run

    forked = await fork_run(origin, checkpoint, new)
    if as_json:
        print_json(
            {"run": new.run, "checkpoint": forked.checkpoint_id, "thread": forked.thread, "records": forked.num_records}
        )
    else:
        print(
            f"{forked.num_records} records of {origin} are in {forked.path}; go on with\n"
            f"  {PROGRAM} --config {shlex.quote(f'{forked.path}/{SETTINGS_NAME}')}"
        )
    return 0
