"""``python -m graphs.knowledge COMMAND``: builds the attribute tree and the idea base, and tells about them.

Each command has a module of its own below :mod:`graphs.cli.knowledge`, imported when it is called.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from fairnad import __version__
from fairnad.errors import SettingsError
from graphs.cli.arguments import Parser, unknown
from graphs.cli.exit_status import report_errors
from graphs.cli.knowledge_flags import check_environment

PROGRAM = "python -m graphs.knowledge"

SUMMARIES = {
    "structure": "the attribute tree, from the source of reference models",
    "build": "the idea base, from papers",
    "filter": "keep or discard, for a list of titles and abstracts",
    "stats": "how evenly ideas are spread, and what a search made of them",
    "export": "the ideas of a folder as one file",
    "import": "ideas of a file into a folder",
    "rebuild": "the search index of a folder, anew",
}
"""Every command by its name, which is also its module's, but where that is a word of Python."""

_MODULES = {"import": "import_ideas", "export": "export_ideas", "filter": "filter_papers"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; papers without a command are built from.

    Returns:
        0 when all is done, 1 when something is left for the next start or the endpoint is gone (said in one line),
        2 after a user's mistake, 130 or 143 when it was stopped and can be resumed.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    return report_errors(lambda: _run(given))


def _run(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help"):
        _print_help()
        return 0 if given else 2
    if given[0] == "--version":
        print(f"FairNAD {__version__}")
        return 0
    name, rest = given[0], given[1:]
    if name not in SUMMARIES:
        if name.startswith("-") or not _names_a_source(name):
            raise SettingsError(unknown("command", name, SUMMARIES))
        name, rest = "build", given
    check_environment()
    module = importlib.import_module(f"graphs.cli.knowledge.{_MODULES.get(name, name)}")
    summary = SUMMARIES[name]
    parser = Parser(
        prog=f"{PROGRAM} {name}",
        description=f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    return int(module.execute(parser, rest))


def _names_a_source(text: str) -> bool:
    """Whether a first argument can only be a paper: it has a place's marks, which no command has."""
    return any(mark in text for mark in "./:")


def _print_help() -> None:
    rows = "\n".join(f"  {name:<12}{summary}" for name, summary in SUMMARIES.items())
    print(f"usage: {PROGRAM} COMMAND [FLAGS]\n       {PROGRAM} PAPER [PAPER ...] [FLAGS]   the same as build\n\n{rows}")
    print(f"\n{PROGRAM} COMMAND --help tells the flags of a command.")
