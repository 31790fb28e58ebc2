"""Tables of the spending on language models."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from fairnad.formatting import quantity_text
from fairnad.records import spending
from fairnad.records.history import History
from fairnad.records.spending import Account
from graphs.cli.output.terminal import make_table, print_table, print_text
from graphs.report.spending_text import usd_text, yield_text


def print_spending(console: Console, history: History) -> None:
    """Print tokens and money by role and by stage; nothing if no language model was used."""
    if not spending.total(history).num_calls:
        return
    print_table(console, spending_table("role", [*spending.by_role(history).items(), ("all", spending.total(history))]))
    console.print()
    print_table(
        console, spending_table("stage", [(str(name), one) for name, one in spending.by_stage(history).items()])
    )
    console.print()
    print_text(console, yield_text(history))


def spending_table(heading: str, accounts: Iterable[tuple[str, Account]]) -> Table:
    """A table with one row per account."""
    figures = ("calls", "failed", "tokens in", "tokens out", "USD")
    table = make_table(heading, *figures, numbers=figures)
    for name, account in accounts:
        usage = account.usage
        counts = (f"{account.num_calls:,}", f"{account.num_failed:,}")
        tokens = (quantity_text(usage.input_tokens), quantity_text(usage.output_tokens))
        table.add_row(name.replace("_", " "), *counts, *tokens, usd_text(usage.usd))
    return table
