"""``evaluate FILE``: check, measure and train one source file on a task, without a search.

It takes all flags of a search and uses those for task, limits, recipe and lab. With ``--json``:
``file``, ``costs``, ``shares`` of the limits, ``accuracy`` (validation, in [0, 1]), ``findings`` and ``failure``
(``step``, ``kind``, ``message``); what is unknown is null or empty. The exit status is 1 if the file fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from fairnad.formatting import printable, share_text
from fairnad.records.candidate import plain
from fairnad.settings.search_settings import RunContext
from graphs.cli.arguments import Parser
from graphs.cli.output.terminal import make_console, print_json
from graphs.cli.settings_parser import add_settings, read_settings
from graphs.runtime.evaluation import SourceEvaluation, evaluate_file

_COMMON = {
    "task and training": ("task", "data", "epochs", "seed"),
    "limits": ("max_params", "max_flops"),
}


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Print costs and accuracy of a file, or why it fails.

    Raises:
        UserError: the file, a flag or the data cannot be used.
        LabError: the sandbox does not start.
    """
    parser.add_argument("file", metavar="FILE", type=Path, help="Python source that defines Network(num_classes)")
    parser.add_argument("--no-training", action="store_true", help="only check and measure")
    parser.add_argument("--json", action="store_true", help="print only one JSON object")
    add_settings(parser, RunContext, _COMMON)
    options = parser.parse_args(arguments)
    context = read_settings(options, parser, RunContext)
    found = evaluate_file(options.file, context, trains=not options.no_training)
    if options.json:
        print_json(
            {
                "file": str(options.file),
                "costs": plain(found.report.costs) if found.report else {},
                "shares": plain(found.shares),
                "accuracy": found.evaluation.accuracy if found.evaluation else None,
                "findings": plain(found.findings),
                "failure": plain(found.failure),
            }
        )
    else:
        console = make_console()
        for line in _lines(found):
            console.print(printable(line))
    return 1 if found.failure else 0


def _lines(found: SourceEvaluation) -> Iterator[str]:
    if found.report:
        for name, cost in found.report.costs.items():
            share = found.shares.get(name)
            over = " (over)" if share is not None and share > 1 else ""
            yield f"{name} {cost:,.10g}" + (f", {share_text(share)} of the limit{over}" if share is not None else "")
    if found.evaluation:
        yield f"validation accuracy {found.evaluation.accuracy:.4f}"
    yield from (f"found {finding}" for finding in found.findings)
    if found.failure:
        yield f"{found.failure.step}: {found.failure.kind}: {found.failure.message}"
