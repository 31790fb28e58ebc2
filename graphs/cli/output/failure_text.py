"""The failure report as text: three lines for the summary, tables for the command ``failures``."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console

from fairnad.formatting import count_text, rate_text
from fairnad.records.failure_report import FailureReport
from graphs.cli.output.terminal import make_table, print_table


def summary_lines(report: FailureReport) -> Iterator[str]:
    """The pass rate of each phase, and the results of repairs and reductions."""
    yield "passed: " + ", ".join(f"{phase} {rate.num_valid}/{rate.num_draws}" for phase, rate in report.phases.items())
    if report.num_debugs:
        free = f", {report.num_debugs_without_call} without a call" if report.num_debugs_without_call else ""
        yield f"{count_text(report.num_debugs, 'repair')}, {report.num_debugs_mended} mended{free}"
    if report.num_downscales:
        reduced = (
            f"{count_text(report.num_downscales, 'reduction')} of {count_text(report.num_downscaled, 'candidate')}"
        )
        yield f"{reduced}, {report.num_fitted} within the limits afterwards"


def print_failures(console: Console, report: FailureReport) -> None:
    """Print the whole report."""
    console.print(f"pass rate {rate_text(report.pass_rate)}")
    for line in summary_lines(report):
        console.print(line)
    if report.kinds:
        console.print()
        table = make_table("step", "kind", "in the paper", "met", "mended", "final", numbers={"met", "mended", "final"})
        for one in report.kinds:
            numbers = (one.num_met, one.num_mended, one.num_final)
            table.add_row(one.step, one.kind, one.paper or "-", *map(str, numbers))
        print_table(console, table)
        console.print("the paper's five: " + ", ".join(f"{name} {count}" for name, count in report.paper.items()))
    if report.calls:
        console.print()
        names = ("calls", "failed", "tokens read", "tokens written")
        table = make_table("role", "model", *names, numbers=set(names))
        for call in report.calls:
            counts = (call.num_calls, call.num_failed, call.input_tokens, call.output_tokens)
            table.add_row(call.role, call.model, *(f"{count:,}" for count in counts))
        print_table(console, table)
