"""``ledger``: tokens and money that a run has spent, by role, stage, model and candidate.

The tables count the calls of recorded candidates; replayed calls count as recorded. The last lines count every request,
including failed ones and those of candidates in progress: the limits apply to these numbers.

With ``--json``: ``run``, the keys of :func:`graphs.cli.output.spending.spending_facts`, ``by_candidate``, and ``sent``
(``num_requests``, ``num_open``, ``tokens``, ``usd``, ``worked_seconds``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from fairnad.formatting import duration_text
from fairnad.records import spending as ledger
from fairnad.records.spending import Account
from graphs.cli.arguments import Parser
from graphs.cli.commands.options import add_run
from graphs.cli.output.spending import print_spending, spending_table
from graphs.cli.output.terminal import make_console, print_json, print_table
from graphs.report.spending_text import sent_text, spending_facts
from graphs.runtime.stored_runs import StoredRun, find_run, open_run
from store.ledger_store import LEDGER_NAME, SqliteLedger


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Print the ledger of a run.

    Raises:
        UserError: the run is unknown.
    """
    add_run(parser)
    options = parser.parse_args(arguments)
    with open_run(find_run(options.runs, options.run)) as run:
        sent = _sent(run)
        if options.json:
            candidates = {
                name: {"tokens": account.usage.tokens, "usd": account.usage.usd}
                for name, account in ledger.by_candidate(run.history).items()
            }
            print_json({"run": run.name, **spending_facts(run.history), "by_candidate": candidates, "sent": sent})
        else:
            _print(run, sent)
    return 0


def _sent(run: StoredRun) -> dict[str, Any]:
    path = run.path / LEDGER_NAME
    if not path.is_file():
        return {"num_requests": 0, "num_open": 0, "tokens": 0, "usd": 0.0, "worked_seconds": 0.0}
    with contextlib.closing(SqliteLedger(path, read_only=True)) as store:
        requests, spent = list(store.requests()), store.spent()
        return {
            "num_requests": len(requests),
            "num_open": sum(not request.is_settled for request in requests),
            "tokens": spent.tokens,
            "usd": spent.usd,
            "worked_seconds": store.worked_seconds(),
        }


def _print(run: StoredRun, sent: dict[str, Any]) -> None:
    console = make_console()
    candidates: list[tuple[str, Account]] = list(ledger.by_candidate(run.history).items())
    if not candidates:
        console.print("no recorded candidate used a language model")
    else:
        print_spending(console, run.history)
        console.print()
        print_table(console, spending_table("model", ledger.by_model(run.history).items()))
        console.print()
        print_table(console, spending_table("candidate", candidates))
    console.print()
    console.print(sent_text(sent["num_requests"], sent["num_open"], sent["tokens"], sent["usd"]))
    console.print(f"working time: {duration_text(sent['worked_seconds'])}, all starts together")
