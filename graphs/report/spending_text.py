"""Spending on language models as text and as JSON data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairnad.formatting import count_text, quantity_text
from fairnad.records import spending
from fairnad.records.history import History
from fairnad.records.spending import Account


def usd_text(usd: float) -> str:
    """An amount of money; a dash for 0, when no price was set."""
    return f"{usd:.4f}" if usd else "-"


def yield_text(history: History) -> str:
    """The cost of a valid candidate and of a point of accuracy in one line; dashes where undefined."""
    gained = spending.yield_of(history)
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
    gained = spending.yield_of(history)
    return {
        "total": _plain(spending.total(history)),
        "by_role": _by_name(spending.by_role(history)),
        "by_stage": {str(stage): _plain(account) for stage, account in spending.by_stage(history).items()},
        "by_model": _by_name(spending.by_model(history)),
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
    """All requests in the ledger of a run, in one line."""
    waiting = f", {num_open} of them unanswered and counted at their maximum" if num_open else ""
    money = f", {usd:.4f} USD" if usd else ""
    return f"sent: {count_text(num_sent, 'request')}{waiting}; {tokens:,} tokens{money}"
