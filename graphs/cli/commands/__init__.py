"""What can be done beside a search: ``python -m graphs.search COMMAND``, one module a command.

All but ``fork``, ``add-idea`` and ``index`` only read.

Each module has ``execute(parser, arguments)``, which adds its arguments to the parser, does what the command does and
returns the exit status; it is imported when it is called.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from fairnad.errors import SettingsError
from graphs.cli.arguments import PROGRAM, Parser, unknown

SUMMARIES = {
    "show": "everything about one candidate",
    "diff": "how two candidates differ, and what that cost and gained",
    "best": "the best candidate of a run and how it came about",
    "failures": "what candidates failed by, what was mended, and how many calls that took",
    "runs": "all runs in a table",
    "ledger": "what a run has spent on language models",
    "fork": "a new run from an earlier point of another",
    "add-idea": "an idea of your own for a run, also while it searches",
    "index": "build the index by which ideas are searched for by meaning",
    "doctor": "whether machine, endpoint, data and stores are ready",
}
"""Every command by its name, which is also its module's (``_`` for ``-``)."""


def run_command(name: str, arguments: Sequence[str]) -> int:
    """The exit status of a command.

    Raises:
        SettingsError: there is no such command, or its arguments are wrong.
        SystemExit: ``--help`` was asked for.
    """
    if name not in SUMMARIES:
        raise SettingsError(unknown("command", name, SUMMARIES))
    module = importlib.import_module(f"graphs.cli.commands.{name.replace('-', '_')}")
    summary = SUMMARIES[name]
    parser = Parser(prog=f"{PROGRAM} {name}", description=f"{summary[0].upper()}{summary[1:]}.", allow_abbrev=False)
    return int(module.execute(parser, arguments))


def list_of_commands() -> str:
    """For ``--help``."""
    rows = "\n".join(f"  {name:<22}{summary}" for name, summary in SUMMARIES.items())
    return f"commands, in place of flags:\n{rows}"
