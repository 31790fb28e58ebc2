"""A search again from its recorded calls, without an endpoint; and searches within limits."""

from __future__ import annotations

import signal
import threading
from contextlib import closing
from dataclasses import replace

from graphs.cli.exit_status import LIMIT_REACHED
from graphs.cli.search_command import main
from store.ledger_store import LEDGER_NAME, LOST, SqliteLedger
from tests.e2e.killing import SMALL, start
from tests.e2e.networks import network
from tests.e2e.sameness import same
from tests.e2e.scripts import APPROVED, fenced, lively, role_of
from tests.openai_server import Reply, Request, ScriptedServer

TOKENS = (400, 50)
"""What the scripted server counts for each call."""


def without(settings: dict[str, object], *names: str) -> dict[str, object]:
    return {name: value for name, value in settings.items() if name not in names}


def faulty(request: Request) -> Reply:
    """The lively model, whose replies are at times empty, cut or dropped, each by its prompt alone."""
    number = sum(map(ord, request["messages"][-1]["content"])) % 9
    if number == 0:
        return Reply("")
    if number == 1:
        return Reply("half a", finish="length", usage=None)
    return lively(request)


def test_a_replay_without_an_endpoint_gives_the_same_history_and_goes_on_where_it_was_killed(
    flags, history, tmp_path, capsys
):
    settings = {**SMALL, "archs": 8, "llm.max_retries": 1}
    with ScriptedServer(faulty) as server:
        assert main(flags(**settings, **{"llm.base_url": server.url})) == 0
    recorded = same(history())
    kinds = {call.note for record in history().records for call in record.calls}
    assert any("empty" in note for note in kinds), "the log holds faults, too"
    log = tmp_path / "runs" / "test" / "llm.jsonl"
    assert len(log.read_text().splitlines()) == sum(len(record.calls) for record in history().records)

    replay = {**without(settings, "llm.model"), "llm.replay": "test", "run": "again"}
    process = start(flags(**replay))
    assert process.stdout is not None
    while "g00-initial" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert main(flags(**replay)) == 0
    assert same(history("again")) == recorded
    with closing(SqliteLedger(tmp_path / "runs" / "again" / LEDGER_NAME, read_only=True)) as ledger:
        assert not list(ledger.requests()), "nothing was sent, nothing was spent"

    capsys.readouterr()
    assert main(flags(**{**replay, "run": "longer", "seed": 5, "llm.replay": str(log)})) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "llm.jsonl does not answer the call of mutation for g00-initial-r1-s0" in error
    assert "its prompt has changed" in error


def test_a_limit_stops_a_search_before_it_is_passed_and_a_higher_one_goes_on(flags, history, tmp_path, capsys):
    settings = {**SMALL, "archs": 6, "llm.max_tokens": 200, "llm.price_output": 1000}
    with ScriptedServer(lively) as server:
        told = {**settings, "llm.base_url": server.url, "limit.usd": 0.5}
        assert main(flags(**told)) == LIMIT_REACHED
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("stopped: ")]
        assert "the limit --limit.usd is reached" in line and "continue with the same command and --limit.usd 1" in line
        assert 0 < server.num_requests * 50 * 1000 / 1e6 <= 0.5
        before = server.num_requests
        assert main(flags(**told)) == LIMIT_REACHED
        assert server.num_requests == before, "what the first start could not afford, the second cannot either"
        assert main(flags(**{**told, "limit.usd": 100})) == 0
        with closing(SqliteLedger(tmp_path / "runs" / "test" / LEDGER_NAME, read_only=True)) as ledger:
            assert ledger.spent().output_tokens == server.num_requests * 50
    assert len(history().trained) == 6


def test_a_limit_that_is_passed_already_is_one_line_and_nothing_is_done(flags, capsys):
    with ScriptedServer(lambda request: replace(lively(request), usage=TOKENS)) as server:
        told = {**SMALL, "archs": 6, "llm.max_tokens": 200, "llm.base_url": server.url}
        assert main(flags(**told, **{"limit.tokens": 4000})) == LIMIT_REACHED
        before = server.num_requests
        assert before > 0
        capsys.readouterr()
        assert main(flags(**told, **{"limit.tokens": 100})) == LIMIT_REACHED
        assert server.num_requests == before
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("stopped: nothing was started: the limit --limit.tokens is reached: ")


def test_a_killed_search_has_never_written_down_less_than_the_server_counted(flags, tmp_path):
    held = threading.Event()

    def slow(request: Request) -> Reply:
        if role_of(request) == "judge":
            return Reply(APPROVED, usage=TOKENS)
        return Reply(fenced(network(width=4)), usage=TOKENS, until=held)

    settings = {**SMALL, "search.initial": 8, "llm.max_tokens": 200, "llm.concurrency": 8}
    with ScriptedServer(slow) as server:
        process = start(flags(**settings, **{"llm.base_url": server.url}))
        assert server.wait_until_asked(8, timeout_seconds=120)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        path = tmp_path / "runs" / "test" / LEDGER_NAME
        with closing(SqliteLedger(path)) as ledger:
            in_flight = [request for request in ledger.requests() if not request.is_settled]
            assert ledger.spent().tokens >= server.num_requests * sum(TOKENS)
            assert len(list(ledger.requests())) >= server.num_requests
            assert len(in_flight) <= 8
            ledger.settle_lost()
            assert {
                request.note for request in ledger.requests() if request.number in {one.number for one in in_flight}
            } == {LOST}
