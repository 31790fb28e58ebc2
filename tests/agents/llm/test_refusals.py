"""Refusals as real endpoints word them: each is answered by the request it takes, once, and remembered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from agents.llm.client import LanguageModel
from agents.replies.reply_schemas import VERDICT
from fairnad.errors import EndpointError
from fairnad.ports import Answer, CallContext
from fairnad.records.candidate import Failure, FailureKind, Step
from store.history_store import SqliteHistory
from tests.openai_server import Reply, Request, Script, ScriptedServer

MESSAGES = (("system", "You design networks."), ("user", "Design one." * 100))
Connect = Callable[..., LanguageModel]
Serve = Callable[[Script], ScriptedServer]


async def ask(model: LanguageModel, context: CallContext, version: int = 0, **options: Any) -> Answer | Failure:
    context = CallContext(context.candidate_id, version, 0)
    return await model.complete("mutation", context, MESSAGES, step=Step.MUTATE, **options)


def worded(form: str, message: str, status: int = 400) -> Reply:
    """The words of a refusal in one of the forms that bodies have."""
    if form == "text":
        return Reply(status=status, body=message.encode(), content_type="text/plain")
    if form == "page":
        page = f"<html><head><style>p {{}}</style></head><body><p>{message}</p></body></html>"
        return Reply(status=status, body=page.encode(), content_type="text/html")
    content: Any = {
        "object": {"error": {"message": message, "type": "invalid_request_error", "code": status}},
        "string": {"error": message, "error_type": "validation"},
        "list": [{"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT"}}],
        "detail": {"detail": message},
        "details": {"detail": [{"loc": ["body"], "msg": message, "type": "value_error"}]},
        "message": {"object": "error", "message": message, "type": "BadRequestError", "code": status},
        "type": {"type": "error", "error": {"type": "invalid_request_error", "message": message}},
        "passed on": {"error": {"message": "Provider returned error", "metadata": {"raw": message}}},
    }[form]
    return Reply(status=status, body=json.dumps(content).encode())


FORMS = ["object", "string", "list", "detail", "details", "message", "type", "passed on", "text", "page"]
TOO_LONG = [
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens.",
    "The decoder prompt (length 5004) is longer than the maximum model length of 4096.",
    "Input length (5000 tokens) exceeds the maximum allowed length (4096 tokens). Use a shorter input.",
    "request (4390 tokens) exceeds the available context size (4096 tokens), try increasing it",
    "Context size has been exceeded.",
    "Requested tokens (5000) exceed context window of 4096",
    "prompt too long; exceeded max context length by 123 tokens",
    "The number of tokens to keep from the initial prompt is greater than the context length.",
    "Trying to keep the first 4520 tokens when context the overflows.",
    "Input validation error: `inputs` must have less than 4096 tokens. Given: 6000",
    "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 6000 `inputs` tokens and 8192 `max_new_tokens`",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "the input token count is 40000 but model only supports up to 32768. Reduce the input token count and try again.",
    "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000",
    "Input is too long for requested model.",
    "This model's maximum prompt length is 131072 but the request contains 200000 tokens.",
    "Range of input length should be [1, 30720]",
    "Prompt exceeds max length",
    "Your request exceeded model token limit: 8192",
    "Request body too large for small-model. Max size: 8000 tokens.",
    "Your prompt does not fit the context of this model",
    "Cannot truncate prompt with n_keep (4390) >= n_ctx (4096)",
    "The total number of tokens (9000) is above the maximum of 8192",
    "Your messages have 9000 tokens and the limit is 8192",
    "string too long",
]


@pytest.mark.parametrize("message", TOO_LONG)
async def test_every_way_to_say_too_long_shortens_the_prompt(
    serve: Serve, connect: Connect, context: CallContext, message: str
) -> None:
    replies = [worded(form, message, status) for form, status in (("object", 400), ("string", 500), ("text", 422))]
    server = serve(lambda request: replies.pop(0) if replies else Reply("a network"))
    answer = await ask(connect(server), context, shorten=lambda n: (("user", "x" * (9 - n)),))
    assert isinstance(answer, Answer)
    assert answer.messages == (("user", "x" * 6),)
    assert server.num_requests == 4


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", [200, 400, 404, 413, 422, 500])
async def test_too_long_is_understood_in_every_form_of_body(
    serve: Serve, connect: Connect, context: CallContext, form: str, status: int
) -> None:
    server = serve(lambda request: worded(form, "prompt is too long: 9000 tokens > 4096 maximum", status))
    failure = await ask(connect(server), context)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.CONTEXT
    assert "prompt is too long: 9000 tokens > 4096 maximum" in failure.message
    assert server.num_requests == 1


NOT_TOO_LONG = [
    (429, "Rate limit reached on tokens per min: Limit 30000, Used 29000, Requested 2000. Please try again in 2s."),
    (429, "Quota exceeded for metric: input_token_count, limit: 250000"),
    (429, "Too many tokens, please wait before trying again."),
    (503, "Overloaded"),
    (500, "model requires more system memory (5.6 GiB) than is available (4.2 GiB)"),
    (503, "the request timed out: exceeded 600 seconds"),
]


@pytest.mark.parametrize(("status", "message"), NOT_TOO_LONG)
async def test_what_is_asked_too_often_is_not_too_long(
    serve: Serve, connect: Connect, context: CallContext, delays: list[float], status: int, message: str
) -> None:
    replies = [Reply.error(status, message), Reply("a network")]
    answer = await ask(connect(serve(lambda request: replies.pop(0))), context)
    assert isinstance(answer, Answer)
    assert delays == [2.0]


SCHEMAS = [
    "response_format json_schema is not supported",
    "This model does not support structured outputs",
    "This response_format type is unavailable now",
    "failed to parse grammar",
    "No endpoints found that support the requested parameters: response_format",
]


@pytest.mark.parametrize(
    ("form", "status", "message"),
    [
        *((form, 400, SCHEMAS[0]) for form in FORMS),
        *(("object", status, SCHEMAS[0]) for status in (200, 404, 405, 415, 422, 500, 501)),
        *(("string", 400, message) for message in SCHEMAS[1:]),
        ("object", 400, "Bad Request"),
        ("object", 422, "Unprocessable Entity"),
    ],
)
async def test_every_refusal_of_the_schema_is_answered_once_without_it(
    serve: Serve, connect: Connect, context: CallContext, delays: list[float], form: str, status: int, message: str
) -> None:
    refusal = worded(form, message, status)
    server = serve(lambda request: refusal if "response_format" in request else Reply("yes"))
    model = connect(server, max_retries=0)
    for version in range(2):
        assert isinstance(await ask(model, context, version, schema=VERDICT), Answer)
    assert ["response_format" in request for request in server.requests] == [True, False, False]
    assert delays == []


def without(field: str, message: str, **more: Any) -> Script:
    """An endpoint that refuses one field."""
    body = json.dumps({"error": {"message": message, **more}}).encode()
    return lambda request: Reply(status=400, body=body) if request.get(field) is not None else Reply("a network")


def without_system(message: str) -> Script:
    def reply(request: Request) -> Reply:
        roles = [message["role"] for message in request["messages"]]
        return Reply.error(400, message) if "system" in roles else Reply("a network")

    return reply


SYSTEM = [
    "System role not supported",
    "Conversation roles must alternate user/assistant/user/assistant",
    "body.messages.0.role: Input should be 'user' or 'assistant'",
    "Invalid value: 'system'. Supported values are: 'assistant' and 'user'.",
    "Developer instruction is not enabled for this model",
]


def roles_of(request: Request) -> list[str]:
    return [message["role"] for message in request["messages"]]


def newer(request: Request) -> Reply:
    if "max_tokens" in request:
        message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'."
        return Reply.error(400, message)
    if request.get("temperature", 1) != 1:
        return Reply.error(400, "Unsupported value: 'temperature' does not support 0.7 with this model.")
    return Reply("a network")


FIELDS: dict[str, tuple[Script, int, Callable[[Request], object], object]] = {
    "temperature": (without("temperature", "`temperature` is deprecated for this model."), 2, dict.keys, "temperature"),
    "temperature, by its place": (
        without("temperature", "", detail=[{"loc": ["body", "temperature"], "msg": "extra fields not permitted"}]),
        2, dict.keys, "temperature",
    ),
    "stream_options": (
        without("stream_options", "Extra inputs are not permitted: stream_options"), 2, dict.keys, "stream_options",
    ),
    "stream": (
        without("stream", "Your organization must be verified to use this.", param="stream"), 2, dict.keys, "stream",
    ),
    "limit and temperature": (newer, 3, dict.keys, "max_tokens"),
    "no limit at all": (
        lambda request: Reply("a network") if not {"max_tokens", "max_completion_tokens"} & set(request)
        else Reply.error(422, "unexpected fields: max_tokens, max_completion_tokens"),
        3, dict.keys, "max_completion_tokens",
    ),
    **{message: (without_system(message), 2, roles_of, "system") for message in SYSTEM},
}  # fmt: skip


@pytest.mark.parametrize(("script", "num_requests", "sent", "field"), FIELDS.values(), ids=FIELDS)
async def test_a_field_that_is_refused_is_left_out_from_then_on(
    serve: Serve,
    connect: Connect,
    context: CallContext,
    delays: list[float],
    script: Script,
    num_requests: int,
    sent: Callable[[Request], Any],
    field: str,
) -> None:
    server = serve(script)
    model = connect(server)
    answer = await ask(model, context)
    assert isinstance(answer, Answer)
    assert answer.messages == MESSAGES, "what is stored is the prompt of the pack"
    assert server.num_requests == num_requests
    assert isinstance(await ask(model, context, 1), Answer)
    assert server.num_requests == num_requests + 1, "it is remembered"
    assert field not in sent(server.requests[-1])
    assert delays == []


async def test_the_newer_name_of_the_limit_is_used_where_the_older_one_is_refused(
    serve: Serve, connect: Connect, context: CallContext
) -> None:
    server = serve(newer)
    await ask(connect(server, max_tokens=777), context)
    assert server.requests[-1]["max_completion_tokens"] == 777


async def test_instructions_go_before_the_question_where_there_is_no_system_role(
    serve: Serve, connect: Connect, context: CallContext
) -> None:
    server = serve(without_system(SYSTEM[0]))
    await ask(connect(server), context)
    (message,) = server.requests[-1]["messages"]
    assert message["content"] == f"{MESSAGES[0][1]}\n\n{MESSAGES[1][1]}"


def in_context(message: str, most: int) -> Script:
    def reply(request: Request) -> Reply:
        return Reply.error(400, message) if request["max_tokens"] > most else Reply("a network")

    return reply


LIMITS = {
    "with the room": (
        "'max_tokens' is too large: 8192. This model's maximum context length is 4096 tokens and your request has 300 "
        "input tokens (8192 > 4096 - 300).",
        3796, range(3700, 3797),
    ),
    "as a sum": (
        "This model's maximum context length is 4,096 tokens. However, you requested 8492 tokens (300 in the messages, "
        "8192 in the completion). Please reduce the length of the messages or completion.",
        3796, range(3700, 3797),
    ),
    "with the most": ("max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens", 4096, [4096]),
    "as a range": ("Range of max_tokens should be [1, 2048]", 2048, [2048]),
    "without a number": ("max_tokens is too large", 3000, [2048]),
}  # fmt: skip


@pytest.mark.parametrize(("message", "most", "expected"), LIMITS.values(), ids=LIMITS)
async def test_a_limit_that_is_too_large_is_lowered_and_the_prompt_stays_whole(
    serve: Serve, connect: Connect, context: CallContext, message: str, most: int, expected: range
) -> None:
    server = serve(in_context(message, most))
    model = connect(server)
    answer = await ask(model, context, shorten=lambda n: None)
    assert isinstance(answer, Answer)
    assert answer.messages == MESSAGES
    assert answer.max_tokens in expected
    assert isinstance(await ask(model, context, 1), Answer)
    assert server.requests[-1]["max_tokens"] == server.requests[-2]["max_tokens"], "it is remembered"


async def test_a_context_that_has_no_room_for_a_reply_shortens_the_prompt(
    serve: Serve, connect: Connect, context: CallContext
) -> None:
    message = (
        "maximum context length is 4096 tokens. You requested 12200 tokens (4008 in the messages, 8192 in the reply)"
    )
    server = serve(lambda r: Reply.error(400, message) if len(r["messages"]) > 1 else Reply("a network"))
    answer = await ask(connect(server), context, shorten=lambda n: (("user", "x"),))
    assert isinstance(answer, Answer)
    assert server.num_requests == 2


async def test_a_context_whose_share_of_the_prompt_is_not_told_shortens_it_and_leaves_the_reply_the_rest(
    serve: Serve, connect: Connect, context: CallContext
) -> None:
    message = "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens."
    server = serve(in_context(message, 4095))
    model = connect(server)
    assert isinstance(await ask(model, context, shorten=lambda n: MESSAGES[1:]), Answer)
    assert isinstance(await ask(model, context, 1), Answer)
    assert [request["max_tokens"] > 3600 for request in server.requests] == [True] * 3
    assert [len(request["messages"]) for request in server.requests] == [2, 1, 2]


WORDS = {
    "string": (worded("string", "model needs 5.6 GiB of memory"), "refuses the request (400: model needs 5.6 GiB"),
    "detail": (worded("detail", "no such adapter", 422), "refuses the request (422: no such adapter)"),
    "a place": (worded("details", "value is not a model"), "refuses the request (400: body: value is not a model)"),
    "page": (worded("page", "Blocked by the firewall &amp; logged", 403), "(403: Blocked by the firewall & logged)"),
    "nothing": (Reply(status=400, body=b""), "refuses the request (400: no message)"),
    "money": (Reply.error(402, "Insufficient Balance"), "has no quota left (402: Insufficient Balance): raise"),
    "within a stream": (Reply.events('{"error": "out of memory"}'), "does not answer: out of memory"),
    "an event of its own": (
        Reply(body=b'event: error\ndata: {"message": "engine died"}\n\n', content_type="text/event-stream"),
        "does not answer: engine died",
    ),
    "in place of an answer": (worded("object", "no longer served", 200), "does not answer: no longer served"),
    "with a code": (
        Reply.events('{"error": {"code": 401, "message": "no such user"}}'), "refuses the key (401: no such user)",
    ),
    "without end": (Reply.error(400, "no " * 500), "no no no…)"),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "words"), WORDS.values(), ids=WORDS)
async def test_the_words_of_an_endpoint_reach_the_user(
    serve: Serve, connect: Connect, context: CallContext, reply: Reply, words: str
) -> None:
    with pytest.raises(EndpointError) as caught:
        await ask(connect(serve(lambda request: reply), max_retries=0), context)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ([{"error": {"message": "slow down", "details": [{"@type": "RetryInfo", "retryDelay": "3s"}]}}], 3.0),
        ({"error": {"message": "Rate limit reached. Please try again in 250ms."}}, 0.25),
        ({"error": {"message": "slow down", "retry_after": 7}}, 7.0),
    ],
)
async def test_a_busy_endpoint_may_ask_for_time_in_words(
    serve: Serve, connect: Connect, context: CallContext, delays: list[float], body: object, seconds: float
) -> None:
    replies = [Reply(status=429, body=json.dumps(body).encode()), Reply("yes")]
    assert isinstance(await ask(connect(serve(lambda request: replies.pop(0))), context), Answer)
    assert delays == [seconds]


async def test_calls_under_way_together_learn_the_same_once(serve: Serve, connect: Connect, log: SqliteHistory) -> None:
    server = serve(newer)
    model = connect(server)
    contexts = [CallContext(f"g01-fair-r1-s{slot:02d}-d0", 0, 0) for slot in range(4)]
    answers = await asyncio.gather(*(ask(model, context) for context in contexts))
    assert all(isinstance(answer, Answer) for answer in answers)
    assert server.num_requests <= 12
