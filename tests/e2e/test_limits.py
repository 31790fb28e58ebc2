"""Limits and the ledger while eight slow calls are under way: against what the server itself has counted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from graphs.cli.exit_status import LIMIT_REACHED
from graphs.cli.search_command import main
from store.ledger_store import LEDGER_NAME, SqliteLedger
from tests.e2e.killing import SMALL, start
from tests.e2e.networks import network
from tests.e2e.scripts import APPROVED, fenced, lively, role_of
from tests.openai_server import Reply, Request, ScriptedServer

AT_ONCE = 8
LIMIT = 24_000
SLOW_SECONDS = 0.2
WIDE = {**SMALL, "archs": 60, "search.initial": AT_ONCE, "llm.concurrency": AT_ONCE, "llm.max_tokens": 200}


class Slow:
    """The lively model, late: the first replies go out when eight are asked for, the others after a while.

    ``counted`` is what it has charged for, whenever it was asked.
    """

    def __init__(self, usage: tuple[int, int]) -> None:
        self.counted: list[int] = []
        self._usage = usage
        self._all_there = threading.Barrier(AT_ONCE)
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Reply:
        with self._lock:
            self.counted.append((self.counted[-1] if self.counted else 0) + sum(self._usage))
            is_first = len(self.counted) <= AT_ONCE
        if is_first:
            self._all_there.wait(timeout=120)
        else:
            threading.Event().wait(SLOW_SECONDS)
        return replace(lively(request), usage=self._usage)


@contextmanager
def ledger_of(tmp_path: Path) -> Iterator[SqliteLedger]:
    with closing(SqliteLedger(tmp_path / "runs" / "test" / LEDGER_NAME, read_only=True)) as ledger:
        yield ledger


def test_eight_slow_calls_at_once_pass_no_limit(flags, tmp_path, capsys):
    model = Slow((400, 50))
    with ScriptedServer(model) as server:
        assert main(flags(**WIDE, **{"llm.base_url": server.url, "limit.tokens": LIMIT})) == LIMIT_REACHED
        assert server.most_at_once == AT_ONCE
    assert model.counted[-1] <= LIMIT
    with ledger_of(tmp_path) as ledger:
        assert ledger.spent().tokens == model.counted[-1]
        left = LIMIT - model.counted[-1]
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("stopped: ")]
    needed = int(line.partition("the next call may take ")[2].partition(";")[0].replace(",", ""))
    assert left < needed, "the next call would have been one too many, and none was refused before"


def test_an_endpoint_that_counts_more_than_was_reserved_gets_no_call_after_those_under_way(flags, tmp_path, capsys):
    model = Slow((8000, 50))
    with ScriptedServer(model) as server:
        assert main(flags(**WIDE, **{"llm.base_url": server.url, "limit.tokens": LIMIT})) == LIMIT_REACHED
        assert server.num_requests == AT_ONCE, "these were under way before the first had told what it cost"
    with ledger_of(tmp_path) as ledger:
        assert ledger.spent().tokens == model.counted[-1] > LIMIT
    assert f"of {LIMIT:,} tokens are spent" in capsys.readouterr().out


def test_a_kill_among_answered_and_open_calls_leaves_a_ledger_above_the_servers_count(flags, tmp_path):
    held, tokens, num_answered = threading.Event(), 450, 4
    order: Iterator[int] = iter(range(10_000))

    def script(request: Request) -> Reply:
        number = next(order)
        text = APPROVED if role_of(request) == "judge" else fenced(network(width=5 + number % 5))
        return Reply(text, usage=(400, 50), until=None if number < num_answered else held)

    with ScriptedServer(script) as server:
        process = start(flags(**WIDE, **{"llm.base_url": server.url}))
        asked = num_answered + AT_ONCE
        assert server.wait_until_asked(asked, timeout_seconds=120)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with ledger_of(tmp_path) as ledger:
            requests = list(ledger.requests())
            spent = ledger.spent().tokens
        in_flight = [request for request in requests if not request.is_settled]
        assert server.num_requests == len(requests) == asked
        assert len(in_flight) == AT_ONCE
        assert sum(request.usage.tokens for request in requests if request.is_settled) == num_answered * tokens
        assert 0 <= spent - server.num_requests * tokens <= sum(request.usage.tokens for request in in_flight)
        held.set()
        limited = {"llm.base_url": server.url, "limit.tokens": spent + 6000}
        assert main(flags(**WIDE, **limited)) == LIMIT_REACHED
        assert server.num_requests > asked
        with ledger_of(tmp_path) as ledger:
            assert ledger.spent().tokens >= server.num_requests * tokens
            assert ledger.spent().tokens - server.num_requests * tokens == spent - asked * tokens
