"""``failures``: failure statistics of a run: kinds, repairs and the calls they needed.

With ``--json``: ``run`` and the fields of :class:`fairnad.records.failure_report.FailureReport`.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairnad.records.candidate import plain
from fairnad.records.failure_report import failure_report
from graphs.cli.arguments import Parser
from graphs.cli.commands.options import add_run
from graphs.cli.output.failure_text import print_failures
from graphs.cli.output.terminal import make_console, print_json
from graphs.runtime.stored_runs import find_run, open_run


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Print the failure report of a run.

    Raises:
        UserError: the run is unknown.
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
