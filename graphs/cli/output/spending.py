"""What a search has spent on language models, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from fairnad.formatting import count_text, quantity_text
from fairnad.records import spending as ledger
from fairnad.records.history import History
from fairnad.records.spending import Account
from graphs.cli.output.terminal import make_table, print_table, print_text


def usd_text(usd: float) -> str:
    """An amount of money; a dash where nothing was priced."""
    return f"{usd:.4f}" if usd else "-"


def print_spending(console: Console, history: History) -> None:
    """Tokens and money by role and by stage, and what came of them; nothing where no language model was asked."""
    if not ledger.total(history).num_calls:
        return
    print_table(console, spending_table("role", [*ledger.by_role(history).items(), ("all", ledger.total(history))]))
    console.print()
    print_table(console, spending_table("stage", [(str(name), one) for name, one in ledger.by_stage(history).items()]))
    console.print()
    print_text(console, yield_text(history))


def spending_table(heading: str, accounts: Iterable[tuple[str, Account]]) -> Table:
    """A row an account."""
    figures = ("calls", "failed", "tokens in", "tokens out", "USD")
    table = make_table(heading, *figures, numbers=figures)
    for name, account in accounts:
        usage = account.usage
        counts = (f"{account.num_calls:,}", f"{account.num_failed:,}")
        tokens = (quantity_text(usage.input_tokens), quantity_text(usage.output_tokens))
        table.add_row(name.replace("_", " "), *counts, *tokens, usd_text(usage.usd))
    return table


def yield_text(history: History) -> str:
    """What a valid candidate and a point of accuracy cost, in a line; dashes where that is not defined."""
    gained = ledger.yield_of(history)
    valid = f"{_cost(gained.tokens_a_valid, gained.usd_a_valid)} a valid candidate (n={gained.num_valid})"
    points = "-" if gained.points is None else f"{gained.points:.2f}"
    return (
        f"{valid}; {_cost(gained.tokens_a_point, gained.usd_a_point)} a percentage point of accuracy over the base "
        f"({points})"
    )


def _cost(tokens: float | None, usd: float | None) -> str:
    shown = "-" if tokens is None else quantity_text(tokens)
    return f"{shown} tokens" + (f", {usd:.4f} USD" if usd else "")


def spending_facts(history: History) -> dict[str, Any]:
    """The same as JSON data: ``total``, ``by_role``, ``by_stage``, ``by_model`` and ``yield``."""
    gained = ledger.yield_of(history)
    return {
        "total": _plain(ledger.total(history)),
        "by_role": _by_name(ledger.by_role(history)),
        "by_stage": {str(stage): _plain(account) for stage, account in ledger.by_stage(history).items()},
        "by_model": _by_name(ledger.by_model(history)),
        "yield": {
            "num_valid": gained.num_valid,
            "points": gained.points,
            "tokens_a_valid": gained.tokens_a_valid,
            "usd_a_valid": gained.usd_a_valid,
            "tokens_a_point": gained.tokens_a_point,
            "usd_a_point": gained.usd_a_point,
        },
    }


def _by_name(accounts: Mapping[str, Account]) -> dict[str, Any]:
    return {name: _plain(account) for name, account in accounts.items()}


def _plain(account: Account) -> dict[str, Any]:
    return {
        "num_calls": account.num_calls,
        "num_failed": account.num_failed,
        "input_tokens": account.usage.input_tokens,
        "output_tokens": account.usage.output_tokens,
        "usd": account.usage.usd,
        "seconds": account.seconds,
    }


def sent_text(num_sent: int, num_open: int, tokens: int, usd: float) -> str:
    """What the ledger of a run says of all requests that were sent, in a line."""
    waiting = f", {num_open} of them without an answer and counted at their worst" if num_open else ""
    money = f", {usd:.4f} USD" if usd else ""
    return f"sent: {count_text(num_sent, 'request')}{waiting}; {tokens:,} tokens{money}"
