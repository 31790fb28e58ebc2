"""``python -m graphs.search``: a search, or one of the commands about runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from fairnad.errors import SettingsError
from fairnad.settings.search_settings import RunContext
from graphs.cli.arguments import PROGRAM, Parser, Presentation
from graphs.cli.dispatcher import Command, format_commands, run_command
from graphs.cli.exit_status import report_errors
from graphs.cli.settings_parser import add_settings, read_settings

COMMANDS = {
    name: Command(summary, f"graphs.cli.commands.{name.replace('-', '_')}")
    for name, summary in {
        "show": "everything about one candidate",
        "diff": "how two candidates differ in source, costs and accuracy",
        "best": "the best candidate of a run and its ancestors",
        "failures": "failure statistics of a run",
        "runs": "all runs in a table",
        "ledger": "tokens and money that a run has spent on language models",
        "fork": "start a new run from an earlier point of another run",
        "add-idea": "add your own idea to a run, even while it searches",
        "index": "build the index for searching ideas by meaning",
        "evaluate": "check, measure and train one source file, without a search",
        "doctor": "check that machine, endpoint, data and stores are ready",
    }.items()
}
COMMON = {
    "run": ("run", "archs"),
    "task and training": ("task", "data", "epochs"),
    "limits": ("max_params", "max_flops", "limit.usd"),
    "language model": ("llm.model", "llm.base_url"),
}
"""The settings most people use."""


def make_parser() -> Parser:
    """The parser of a search."""
    parser = Parser(
        prog=PROGRAM,
        usage="%(prog)s [FLAGS]\n       %(prog)s COMMAND --help",
        description="Searches for a better network under your limits. The same command resumes a stopped search.\n\n"
        f"{format_commands(COMMANDS)}\n\n"
        "Settings are flags, environment variables (FAIRNAD_LLM__MODEL) or keys of a TOML file (--config).",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and its maximum cost, and exit")
    parser.add_argument("--final-test", action="store_true", help="evaluate a finished search on the test split, once")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--quiet", action="store_true", help="print only the result")
    output.add_argument("--json", action="store_true", help="print only events, one JSON object per line")
    add_settings(parser, RunContext, COMMON)
    return parser


def parse(arguments: Sequence[str], begun_with: RunContext | None = None) -> RunContext:
    """The settings of a search.

    Args:
        arguments: the command line without the program.
        begun_with: settings of an earlier start, which apply unless others are given.

    Raises:
        SettingsError: a name is unknown (with the nearest name), or a value is malformed or out of range.
        SystemExit: ``--help`` was given.
    """
    return _parse(arguments, begun_with)[0]


def _parse(arguments: Sequence[str], begun_with: RunContext | None = None) -> tuple[RunContext, argparse.Namespace]:
    parser = make_parser()
    options = parser.parse_args(list(arguments))
    return read_settings(options, parser, RunContext, begun_with=begun_with, resumes=True), options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a search or a command.

    Returns:
        0: finished. 1: ended early, not by a mistake of the user. 2: a mistake of the user. 3: a limit on money, tokens
        or hours was reached. 130, 143, 141: stopped by Ctrl-C, SIGTERM, closed output. All but 0 and 2 can be resumed.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    return report_errors(lambda: _run(given))


def _run(given: list[str]) -> int:
    if given and not given[0].startswith("-"):
        return run_command(PROGRAM, COMMANDS, given[0], given[1:])
    context, options = _parse(given)
    presentation = Presentation(quiet=options.quiet, json=options.json, dry_run=options.dry_run)
    if options.final_test:
        from graphs.cli.commands import final_test

        if options.dry_run:
            raise SettingsError("--final-test with --dry-run: expected one of them; the test split opens only once")
        return final_test.run(parse(given, final_test.settings_of(context)), presentation)
    if options.dry_run:
        from graphs.cli.plan.plan_text import print_plan

        return print_plan(context, presentation)
    from graphs.cli.runner import run

    return run(context, presentation)
