"""Endpoints that refuse, break off, stay silent or speak another language."""

import json
import socket
import threading

import pytest

from fairnad.errors import EndpointError
from fairnad.ports import Answer, CallContext
from fairnad.records.candidate import Failure, FailureKind
from store.history_store import SqliteHistory
from tests.agents.llm.asking import Connect, Serve, ask, in_turn
from tests.openai_server import Reply


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_stops_the_search_at_once_and_is_not_repeated(
    serve: Serve, connect: Connect, context: CallContext, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server = serve(in_turn(Reply.error(status, "Incorrect API key\nprovided: sk-secret")))
    with pytest.raises(EndpointError) as caught:
        await ask(connect(server), context)
    assert str(caught.value) == (
        f"endpoint {server.url} (model scripted) refuses the key ({status}: Incorrect API key provided: …): "
        "set OPENAI_API_KEY to a key it accepts; nothing is lost; run the same command again to resume"
    )


async def test_a_model_that_is_not_served_is_named(serve: Serve, connect: Connect, context: CallContext) -> None:
    server = serve(in_turn(Reply.error(404, "The model `scripted` does not exist.")))
    with pytest.raises(EndpointError) as caught:
        await ask(connect(server), context)
    assert str(caught.value) == (
        f"endpoint {server.url} (model scripted) has no such model (404: The model `scripted` does not exist.): set "
        "--llm.model to a model it serves, and --llm.base-url to where its API begins (often …/v1), with "
        "--llm.models in its entry; nothing is lost; run the same command again to resume"
    )


async def test_a_request_the_endpoint_will_never_take_stops_the_search(
    serve: Serve, connect: Connect, context: CallContext
) -> None:
    server = serve(in_turn(Reply.error(400, "This model has no licence here.")))
    with pytest.raises(EndpointError, match=r"refuses the request \(400: This model .*: change the settings under --l"):
        await ask(connect(server), context)


async def test_a_used_up_quota_is_not_waited_for(
    serve: Serve, connect: Connect, context: CallContext, delays: list[float]
) -> None:
    server = serve(in_turn(Reply.error(429, "You exceeded your current quota", code="insufficient_quota")))
    with pytest.raises(EndpointError, match=r"has no quota left .*: raise the quota of the key's account;"):
        await ask(connect(server), context)
    assert delays == []


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"Retry-After-Ms": "1500"}, 1.5),
        ({"retry-after": "86400"}, 600.0),
        ({"retry-after": "Wed, 01 Jan 2025 00:01:40 GMT", "date": "Wed, 01 Jan 2025 00:00:10 GMT"}, 90.0),
        ({"retry-after": "soon"}, 2.0),
        ({}, 2.0),
    ],
)
async def test_a_busy_endpoint_is_given_the_time_it_asks_for(
    serve: Serve, connect: Connect, context: CallContext, delays: list[float], headers: dict[str, str], seconds: float
) -> None:
    answer = await ask(connect(serve(in_turn(Reply.error(429, "slow down", headers=headers), Reply("yes")))), context)
    assert isinstance(answer, Answer)
    assert delays == [seconds]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_a_passing_fault_is_waited_out_ever_longer(
    serve: Serve, connect: Connect, context: CallContext, log: SqliteHistory, delays: list[float], status: int
) -> None:
    fault = Reply.error(status, "not now")
    answer = await ask(connect(serve(in_turn(fault, fault, Reply("a network")))), context)
    assert isinstance(answer, Answer)
    assert delays == [2.0, 4.0]
    assert log.calls(context.candidate_id) == [answer.call]  # what was not answered cost nothing


async def test_an_endpoint_that_stays_down_stops_the_search(
    serve: Serve, connect: Connect, context: CallContext, log: SqliteHistory
) -> None:
    server = serve(lambda request: Reply.error(503, "loading the model"))
    with pytest.raises(EndpointError) as caught:
        await ask(connect(server, max_retries=3), context)
    assert str(caught.value) == (
        f"endpoint {server.url} (model scripted) does not answer: 503: loading the model; "
        "nothing is lost; run the same command again to resume"
    )
    assert server.num_requests == 4
    assert log.calls(context.candidate_id) == []


async def test_an_endpoint_nobody_listens_at_stops_the_search(connect: Connect, context: CallContext) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(EndpointError, match=r"does not answer: .*Connect call failed"):
        await ask(connect(url), context)


async def test_a_silent_endpoint_is_asked_again_and_given_up(
    serve: Serve, connect: Connect, context: CallContext, delays: list[float]
) -> None:
    server = serve(lambda request: Reply("too late", until=threading.Event()))
    with pytest.raises(EndpointError, match=r"does not answer: silent for 0.5 seconds;"):
        await ask(connect(server, timeout_seconds=0.5, max_retries=1), context)
    assert server.wait_until_asked(2)
    assert delays == [2.0]


@pytest.mark.parametrize(
    "reply",
    [
        Reply.page("<html><h1>Sign in</h1></html>"),
        Reply(body=b'{"choices": [{"message": {"content": "a netw'),
        Reply(body=b""),
        Reply.events('{"choices": [{"delta": {"cont'),
        Reply.events("null"),
    ],
)
async def test_an_endpoint_that_speaks_another_language_stops_the_search(
    serve: Serve, connect: Connect, context: CallContext, log: SqliteHistory, reply: Reply
) -> None:
    server = serve(lambda request: reply)
    with pytest.raises(
        EndpointError, match=r"does not answer: the response is not a chat completion \(.*: set --llm.base"
    ):
        await ask(connect(server), context)
    assert server.num_requests == 3
    assert log.calls(context.candidate_id) == []


async def test_a_web_page_that_passes_is_waited_out(
    serve: Serve, connect: Connect, context: CallContext, delays: list[float]
) -> None:
    answer = await ask(connect(serve(in_turn(Reply.page("<html>starting</html>"), Reply("a network")))), context)
    assert isinstance(answer, Answer)
    assert delays == [2.0]


HALF = json.dumps({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "half a"}}]})
BROKEN = {
    "cut silently": (Reply.cut("half a"), "the answer ends without a finish reason; tokens estimated"),
    "connection lost": (Reply("half a", dropped=True), "peer closed connection"),
    "no choices": (Reply.events('{"id": "1", "choices": []}', "[DONE]"), "the answer ends without a finish reason"),
    "choices null": (Reply.events('{"id": "1", "choices": null}', "[DONE]"), "the answer ends without"),
    "truncated JSON": (Reply.events(HALF, '{"choices": [{"delta": {"cont'), "the response is not a chat completion"),
    "error inside": (Reply.events(HALF, '{"error": {"message": "CUDA error"}}'), "CUDA error"),
}


@pytest.mark.parametrize(("reply", "note"), BROKEN.values(), ids=BROKEN.keys())
async def test_an_answer_that_breaks_off_is_stored_and_asked_for_again(
    serve: Serve,
    connect: Connect,
    context: CallContext,
    log: SqliteHistory,
    delays: list[float],
    reply: Reply,
    note: str,
) -> None:
    answer = await ask(connect(serve(in_turn(reply, Reply("a network")))), context)
    assert isinstance(answer, Answer)
    assert answer.text == "a network"
    assert delays == [2.0]
    broken, whole = log.calls(context.candidate_id)
    assert not broken.ok
    assert broken.note.startswith(note)
    assert whole.ok


@pytest.mark.parametrize(("reply", "note"), BROKEN.values(), ids=BROKEN.keys())
async def test_an_answer_that_always_breaks_off_fails_the_candidate_not_the_search(
    serve: Serve, connect: Connect, context: CallContext, reply: Reply, note: str
) -> None:
    server = serve(lambda request: reply)
    failure = await ask(connect(server), context)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.BROKEN
    assert failure.message.startswith(f"the endpoint cut off every answer ({note}")
    assert server.num_requests == 3
