"""Answers in the dialects of real endpoints: what each is read as, and what is counted."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from agents.llm.client import LanguageModel
from fairnad.ports import Answer, CallContext
from fairnad.records.candidate import Failure, FailureKind, Step
from store.history_store import SqliteHistory
from tests.openai_server import Reply, Script, ScriptedServer

MESSAGES = (("system", "You design networks."), ("user", "Design one."))
ESTIMATE = (8, 2, "tokens estimated, four characters each")
"""33 characters asked, 5 to 8 answered."""
COUNTED = (70, 9, "")

Connect = Callable[..., LanguageModel]
Serve = Callable[[Script], ScriptedServer]


def event(delta: Any = None, finish: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }


def tokens(prompt: Any = 70, completion: Any = 9) -> dict[str, Any]:
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}}


def stream(*parts: dict[str, Any] | str, end: str = "\n", encoding: str = "utf-8", charset: str = "") -> Reply:
    lines = [part if isinstance(part, str) else f"data: {json.dumps(part, ensure_ascii=False)}" for part in parts]
    body = "".join(line + 2 * end for line in lines).encode(encoding)
    return Reply(body=body, content_type=f"text/event-stream{charset}")


def whole(content: Any, **more: Any) -> Reply:
    return Reply(body=json.dumps(content).encode(), **more)


TEXT = event({"role": "assistant", "content": "ja, gut"})
STOP = event({}, "stop")
END = "data: [DONE]"
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "ja, gut"}, "finish_reason": "stop"}

ANSWERS: dict[str, tuple[Reply, tuple[int, int, str]]] = {
    "events without data": (stream("data:", "data: ", "retry: 3000", TEXT, STOP, tokens(), END), COUNTED),
    "comments": (stream(": still here", TEXT, ": and here", STOP, tokens(), END), COUNTED),
    "events of other kinds": (stream('event: ping\ndata: {"type": "ping"}', TEXT, STOP, tokens(), END), COUNTED),
    "an event id": (stream("id: 7\nevent: chunk", TEXT, STOP, tokens(), END), COUNTED),
    "a byte order mark": (stream("\ufeff: hello", TEXT, STOP, tokens(), END), COUNTED),
    "other line ends": (stream(TEXT, STOP, tokens(), END, end="\r\n"), COUNTED),
    "carriage returns alone": (stream(TEXT, STOP, tokens(), END, end="\r"), COUNTED),
    "no empty lines": (
        Reply(body="\n".join(f"data:{json.dumps(e)}" for e in (TEXT, STOP, tokens())).encode()),
        COUNTED,
    ),
    "data on several lines": (
        stream("data: " + json.dumps(TEXT, indent=1).replace("\n", "\ndata: "), STOP, tokens(), END),
        COUNTED,
    ),
    "no end": (stream(TEXT, STOP, tokens()), COUNTED),
    "an end without a reason": (stream(TEXT, tokens(), END), COUNTED),
    "compressed": (
        Reply(body=gzip.compress(stream(TEXT, STOP, tokens(), END).body or b""), headers={"content-encoding": "gzip"}),
        COUNTED,
    ),
    "another charset": (
        stream(event({"content": "ja, güt"}), STOP, tokens(), encoding="latin-1", charset="; charset=iso-8859-1"),
        COUNTED,
    ),
    "whole": (whole({"choices": [CHOICE], "usage": tokens()["usage"]}), COUNTED),
    "whole, after a while": (Reply(body=b"\n\n  \n" + (whole({"choices": [CHOICE]}).body or b"")), ESTIMATE),
    "whole, without a reason": (whole({"choices": [{**CHOICE, "finish_reason": None}]}), ESTIMATE),
    "a message as an event": (stream({"choices": [CHOICE]}, tokens(), END), COUNTED),
    "a bare text as an event": (stream({"choices": [{"text": "ja, gut", "finish_reason": "stop"}]}, END), ESTIMATE),
    "parts": (
        stream(
            event({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
            event({"content": [{"type": "text", "text": "ja, gut"}]}),
            STOP,
            tokens(),
        ),
        COUNTED,
    ),
    "nulls": (
        stream(event({"content": None}, id=None, created=None), TEXT, {"choices": None, "usage": None}, STOP, tokens()),
        COUNTED,
    ),
    "several answers": (
        stream(TEXT, {"choices": [{"index": 1, "delta": {"content": "nein"}}]}, STOP, tokens(), END),
        COUNTED,
    ),
    "a refusal": (stream(event({"content": None, "refusal": "ja, gut"}), STOP, tokens(), END), COUNTED),
    "counted in the last event": (stream(TEXT, {**STOP, "usage": tokens()["usage"]}, END), COUNTED),
    "counted by sums": (stream({**TEXT, "usage": tokens(70, 3)["usage"]}, STOP, tokens(), END), COUNTED),
    "counted in text": (stream(TEXT, STOP, tokens("70", "9"), END), COUNTED),
    "counted in fractions": (stream(TEXT, STOP, tokens(70.0, 9.0), END), COUNTED),
    "not counted": (stream(TEXT, STOP, END), ESTIMATE),
    "counted as nothing": (stream(TEXT, STOP, tokens(0, 0), END), ESTIMATE),
    "counted as null": (stream(TEXT, STOP, tokens(None, None), END), ESTIMATE),
    "counted below nothing": (stream(TEXT, STOP, tokens(-1, -5), END), ESTIMATE),
    "counted in words": (stream(TEXT, STOP, tokens("many", True), END), ESTIMATE),
    "counted in part": (stream(TEXT, STOP, tokens(70, None), END), (70, 2, ESTIMATE[2])),
    "counted in the other part": (stream(TEXT, STOP, tokens(0, 9), END), (8, 9, ESTIMATE[2])),
    "thoughts not counted": (
        stream(event({"reasoning_content": "x" * 393}), TEXT, STOP, END),
        (8, 100, ESTIMATE[2]),
    ),
}


async def ask(model: LanguageModel, context: CallContext) -> Answer | Failure:
    return await model.complete("mutation", context, MESSAGES, step=Step.MUTATE)


@pytest.mark.parametrize(("reply", "counted"), ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_is_read_in_every_dialect(
    serve: Serve,
    connect: Connect,
    context: CallContext,
    delays: list[float],
    reply: Reply,
    counted: tuple[int, int, str],
) -> None:
    server = serve(lambda request: reply)
    answer = await ask(connect(server), context)
    assert isinstance(answer, Answer)
    assert (answer.text.replace("ü", "u"), answer.finish) == ("ja, gut", "stop")
    assert (answer.call.input_tokens, answer.call.output_tokens, answer.call.note) == counted
    assert (server.num_requests, delays) == (1, [])


@pytest.mark.parametrize("reason", ["max_tokens", "MAX_TOKENS", "model_length", "Length", "token_limit"])
async def test_every_name_of_the_token_limit_is_one(
    serve: Serve, connect: Connect, context: CallContext, reason: str
) -> None:
    replies = [stream(event({"content": "a net"}, reason), END), Reply("work")]
    answer = await ask(connect(serve(lambda request: replies.pop(0))), context)
    assert isinstance(answer, Answer)
    assert answer.text == "a network"


@pytest.mark.parametrize("reason", ["error", "abort", "ERROR", "cancelled"])
async def test_an_answer_the_endpoint_gives_up_is_asked_for_again(
    serve: Serve, connect: Connect, context: CallContext, log: SqliteHistory, reason: str
) -> None:
    replies = [stream(event({"content": "a ne"}, reason), END), Reply("a network")]
    answer = await ask(connect(serve(lambda request: replies.pop(0))), context)
    assert isinstance(answer, Answer)
    assert answer.text == "a network"
    broken, _ = log.calls(context.candidate_id)
    assert f"ended the answer with the reason {reason.lower()}" in broken.note


async def test_the_reason_of_an_empty_answer_is_named(serve: Serve, connect: Connect, context: CallContext) -> None:
    failure = await ask(connect(serve(lambda request: stream(event({}, "content_filter"), tokens(), END))), context)
    assert failure == Failure(
        Step.MUTATE, FailureKind.REPLY, "the reply was empty twice (finish reason content_filter)"
    )


async def test_the_connection_is_used_again_after_the_end_of_a_stream(
    serve: Serve, connect: Connect, context: CallContext
) -> None:
    server = serve(lambda request: stream(TEXT, STOP, END, "data: whatever follows"))
    model = connect(server)
    await ask(model, context)
    await ask(model, CallContext(context.candidate_id, 1, 0))
    assert server.num_connections == 1


async def test_the_tracing_of_langchain_sees_each_request(serve: Serve, connect: Connect, context: CallContext) -> None:
    from langchain_core.tracers.context import collect_runs

    with collect_runs() as collected:
        await ask(connect(serve(lambda request: stream(TEXT, STOP, tokens(), END))), context)
    (run,) = collected.traced_runs
    assert run.extra is not None and run.outputs is not None
    assert run.extra["invocation_params"]["extra_body"]["max_tokens"] == 8192
    (((generation,),),) = (run.outputs["generations"],)
    assert generation["text"] == "ja, gut"
    assert generation["message"]["kwargs"]["usage_metadata"]["total_tokens"] == 79
