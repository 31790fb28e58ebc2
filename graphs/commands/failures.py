"""``failures``: what the candidates of a run came to grief on, what was mended, and what that took in calls.

With ``--json``: ``run`` and the fields of :class:`fairnad.failure_report.FailureReport`.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairnad.candidate import plain
from fairnad.failure_report import failure_report
from graphs.arguments import Parser
from graphs.commands.options import add_run
from graphs.stored_runs import find_run, open_run
from graphs.telling.failure_text import print_failures
from graphs.telling.terminal import make_console, print_json


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Print the failure report of a run.

    Raises:
        UserError: there is no such run.
    """
    add_run(parser)
    options = parser.parse_args(arguments)
    with open_run(find_run(options.runs, options.run)) as run:
        report = failure_report(run.history)
        if options.json:
            print_json({"run": run.name, **plain(report)})
        else:
            print_failures(make_console(), report)
    return 0
