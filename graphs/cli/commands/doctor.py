"""``doctor``: checks that machine, endpoint, data and stores are ready for a search with the given settings.

It takes every flag of a search. With ``--json``: ``is_ready`` and ``findings``, each with ``section``, ``part``,
``health`` (``OK``, ``WARN``, ``FAIL``), ``found`` and ``advice``. The exit status is 1 if a finding is ``FAIL``.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fairnad.formatting import printable
from fairnad.settings.search_settings import RunContext
from graphs.cli.arguments import Parser
from graphs.cli.doctor import Finding, Health
from graphs.cli.output.terminal import make_console, print_json, print_table
from graphs.cli.settings_parser import add_settings, read_settings

_STYLES = {Health.OK: "green", Health.WARN: "yellow", Health.FAIL: "bold red"}
_PART_WIDTH = 15
_COMMON = {
    "run": ("run", "runs"),
    "task": ("task", "data"),
    "language model": ("llm.model", "llm.base_url"),
}


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Run all checks and print their findings.

    Raises:
        SettingsError: a flag is unknown, malformed or out of range.
    """
    parser.add_argument("--json", action="store_true", help="print only one JSON object")
    add_settings(parser, RunContext, _COMMON)
    options = parser.parse_args(arguments)
    context = read_settings(options, parser, RunContext, resumes=True)
    return asyncio.run(_examine(context, as_json=options.json))


async def _examine(context: RunContext, *, as_json: bool) -> int:
    console = make_console()
    found: list[tuple[str, Finding]] = []
    async for section, findings in _sections(context):
        found += [(section, finding) for finding in findings]
        if not as_json:
            _print(console, section, findings)
    counts = Counter(finding.health for _, finding in found)
    is_ready = not counts[Health.FAIL]
    if as_json:
        print_json({"is_ready": is_ready, "findings": [_plain(section, finding) for section, finding in found]})
    else:
        verdict = "ready for a search" if is_ready else f"not ready: {counts[Health.FAIL]} to fix"
        warnings = f", {counts[Health.WARN]} to note" if counts[Health.WARN] else ""
        console.print(f"\n{verdict}{warnings}")
    return 0 if is_ready else 1


async def _sections(context: RunContext) -> AsyncIterator[tuple[str, list[Finding]]]:
    """The findings of each part, in a fixed order, as soon as they are known."""
    from graphs.cli.doctor.data import examine_data
    from graphs.cli.doctor.endpoint import examine_endpoint
    from graphs.cli.doctor.machine import examine_machine
    from graphs.cli.doctor.sandbox import examine_sandbox
    from graphs.cli.doctor.stores import examine_stores

    yield "machine", await asyncio.to_thread(examine_machine, context)
    inputs, findings = await asyncio.to_thread(examine_data, context)
    sandbox = asyncio.create_task(examine_sandbox(context, inputs))
    yield "data", findings
    yield "stores", await asyncio.to_thread(examine_stores, context)
    yield "model", await examine_endpoint(context)
    yield "sandbox", await sandbox


def _print(console: Console, section: str, findings: Sequence[Finding]) -> None:
    console.print(Text(section, "bold"))
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, width=6, justify="right")
    table.add_column(no_wrap=True, min_width=_PART_WIDTH)
    table.add_column(overflow="fold")
    for finding in findings:
        text = printable(finding.found) + (f"\n→ {printable(finding.advice)}" if finding.advice else "")
        table.add_row(Text(finding.health, _STYLES[finding.health]), finding.part, Text(text))
    print_table(console, table)


def _plain(section: str, finding: Finding) -> dict[str, str]:
    return {
        "section": section,
        "part": finding.part,
        "health": str(finding.health),
        "found": finding.found,
        "advice": finding.advice,
    }
