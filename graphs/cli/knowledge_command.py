"""``python -m graphs.knowledge COMMAND``: builds the attribute tree and the idea base, and describes them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from graphs.cli.arguments import Parser
from graphs.cli.dispatcher import Command, format_commands, run_command
from graphs.cli.exit_status import report_errors

PROGRAM = "python -m graphs.knowledge"
COMMANDS = {
    name: Command(summary, f"graphs.cli.knowledge.{module}")
    for name, module, summary in (
        ("structure", "structure", "build the attribute tree from the source of reference models"),
        ("build", "build", "build the idea base from papers"),
        ("filter", "filter_papers", "decide which papers of a list to keep"),
        ("stats", "stats", "how evenly ideas are spread, and what a search achieved with them"),
        ("export", "export_ideas", "write the ideas of a folder to one file"),
        ("import", "import_ideas", "add the ideas of files to a folder"),
        ("rebuild", "rebuild", "rebuild the search index of a folder"),
    )
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; papers without a command mean ``build``.

    Returns:
        0: done. 1: work is left for the next start, or the endpoint is unreachable. 2: a mistake of the user.
        130, 143: stopped, can be resumed.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    return report_errors(lambda: _run(given))


def _run(given: list[str]) -> int:
    if not given or given[0].startswith("-"):
        parser = Parser(
            prog=PROGRAM,
            usage="%(prog)s COMMAND [FLAGS]\n       %(prog)s PAPER [PAPER ...] [FLAGS]   the same as build",
            description=f"{format_commands(COMMANDS)}\n\n{PROGRAM} COMMAND --help shows the flags of a command.",
        )
        parser.parse_args(given)
        parser.print_help()
        return 2
    if given[0] not in COMMANDS and any(mark in given[0] for mark in "./:"):  # marks of a path, which no command has
        given = ["build", *given]
    return run_command(PROGRAM, COMMANDS, given[0], given[1:])
