import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterable

import pytest

from agents.llm.client import LanguageModel
from fairnad.errors import EndpointError, SettingsError, StorageError
from fairnad.ports import Answer, CallContext, CallKey
from fairnad.records.candidate import Failure, FailureKind, Step
from fairnad.settings.model_entries import LanguageModelSettings
from prompts.loader import continuation
from store.history_store import SqliteHistory
from tests.agents.llm.asking import MESSAGES, Connect, Serve, ask, in_turn
from tests.openai_server import Reply, Request

SHORTER = (("system", "You design networks."), ("user", "Design."))
TOO_LONG = Reply.error(400, "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens.")


async def test_an_answer_comes_with_its_tokens_and_is_stored(
    serve: Serve, connect: Connect, log: SqliteHistory, context: CallContext
) -> None:
    answer = await ask(connect(serve(in_turn(Reply("a network", usage=(120, 30))))), context)
    assert isinstance(answer, Answer)
    assert (answer.text, answer.finish, answer.messages) == ("a network", "stop", MESSAGES)
    call = answer.call
    assert (call.role, call.model, call.input_tokens, call.output_tokens) == ("mutation", "scripted", 120, 30)
    assert (call.ok, call.note) == (True, "")
    assert 0 < call.seconds < 20
    assert log.calls(context.candidate_id) == [call]


async def test_the_request_carries_the_settings_and_the_key(
    serve: Serve, connect: Connect, context: CallContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server = serve(in_turn(Reply("yes")))
    await ask(connect(server, temperature=0.3, max_tokens=777), context)
    request = server.requests[0]
    assert (request["model"], request["temperature"], request["max_tokens"]) == ("scripted", 0.3, 777)
    assert "max_completion_tokens" not in request  # local servers ignore the newer name and never stop
    assert [(message["role"], message["content"]) for message in request["messages"]] == list(MESSAGES)
    assert server.api_keys == ["sk-secret"]


async def test_without_a_key_a_local_server_is_asked_all_the_same(
    serve: Serve, connect: Connect, context: CallContext
) -> None:
    server = serve(in_turn(Reply("yes")))
    assert isinstance(await ask(connect(server), context), Answer)
    assert server.api_keys == ["none"]


async def test_reasoning_is_not_part_of_the_answer(serve: Serve, connect: Connect, context: CallContext) -> None:
    answer = await ask(connect(serve(in_turn(Reply("<think>hm,\nwell</think>\n\na network")))), context)
    assert isinstance(answer, Answer)
    assert answer.text == "a network"


@pytest.mark.parametrize("reply", [Reply("<think>hm, well", "length"), Reply("", "length", reasoning="hm, well")])
async def test_reasoning_that_takes_all_tokens_is_truncated_and_not_continued(
    serve: Serve, connect: Connect, context: CallContext, log: SqliteHistory, reply: Reply
) -> None:
    server = serve(in_turn(reply))
    failure = await ask(connect(server, max_tokens=64), context)
    assert isinstance(failure, Failure)
    assert (failure.step, failure.kind) == (Step.MUTATE, FailureKind.TRUNCATED)
    assert failure.message == "the model's reasoning does not end within 64 tokens (--llm.max-tokens)"
    assert server.num_requests == 1
    assert log.calls(context.candidate_id)[0].output_tokens == 50


async def test_an_answer_cut_at_the_token_limit_is_continued(
    serve: Serve, connect: Connect, context: CallContext, log: SqliteHistory
) -> None:
    server = serve(in_turn(Reply("class Network:\n    layers = 3", "length"), Reply("    layers = 32\n")))
    answer = await ask(connect(server), context)
    assert isinstance(answer, Answer)
    assert answer.text == "class Network:\n    layers = 32\n"
    assert answer.messages == MESSAGES
    asked = [(message["role"], message["content"]) for message in server.requests[1]["messages"]]
    assert asked[2:] == [("assistant", "class Network:\n    layers = 3"), ("user", continuation())]
    assert [call.note for call in log.calls(context.candidate_id)] == ["cut off at the token limit", ""]


async def test_an_answer_cut_three_times_is_continued_as_often(
    serve: Serve, connect: Connect, context: CallContext
) -> None:
    parts = [Reply("one, ", "length"), Reply("two, ", "length"), Reply("three, ", "length"), Reply("four")]
    server = serve(in_turn(*parts))
    answer = await ask(connect(server), context)
    assert isinstance(answer, Answer)
    assert answer.text == "one, two, three, four"
    assert server.requests[3]["messages"][2]["content"] == "one, two, three, "
    assert server.num_requests == 4


async def test_an_answer_that_never_ends_is_truncated(serve: Serve, connect: Connect, context: CallContext) -> None:
    parts = [Reply(f"{number}, ", "length") for number in ("one", "two", "three", "four")]
    server = serve(in_turn(*parts))
    failure = await ask(connect(server, max_tokens=64), context)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.log_tail) == (FailureKind.TRUNCATED, "one, two, three, four, ")
    assert failure.message == "the reply does not end within 64 tokens (--llm.max-tokens)"
    assert server.num_requests == 4


async def test_a_continuation_that_brings_nothing_new_is_the_last(
    serve: Serve, connect: Connect, context: CallContext
) -> None:
    same = Reply("self.conv = nn.Conv2d(8, 8, 3)", "length")
    server = serve(in_turn(same, same))
    failure = await ask(connect(server), context)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.TRUNCATED
    assert server.num_requests == 2


async def test_a_reply_that_goes_round_in_circles_is_not_continued(
    serve: Serve, connect: Connect, context: CallContext
) -> None:
    server = serve(lambda request: Reply("self.conv = nn.Conv2d(8, 8, 3)\n" * 40, "length"))
    failure = await ask(connect(server), context)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.TRUNCATED
    assert server.num_requests == 1


async def test_a_continuation_that_does_not_fit_is_truncated(
    serve: Serve, connect: Connect, context: CallContext
) -> None:
    failure = await ask(connect(serve(in_turn(Reply("one, ", "length"), TOO_LONG))), context)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.TRUNCATED


async def test_an_empty_answer_is_asked_for_once_more(
    serve: Serve, connect: Connect, context: CallContext, log: SqliteHistory
) -> None:
    answer = await ask(connect(serve(in_turn(Reply(" \n"), Reply("a network")))), context)
    assert isinstance(answer, Answer)
    assert answer.text == "a network"
    assert [(call.ok, call.note) for call in log.calls(context.candidate_id)] == [(False, "empty"), (True, "")]


async def test_an_answer_that_stays_empty_is_a_failure(serve: Serve, connect: Connect, context: CallContext) -> None:
    server = serve(in_turn(Reply(""), Reply("<think>never mind</think>")))
    failure = await ask(connect(server), context)
    assert failure == Failure(Step.MUTATE, FailureKind.REPLY, "the reply was empty twice")
    assert server.num_requests == 2


@pytest.mark.parametrize(
    "refusal",
    [
        TOO_LONG,
        Reply.error(400, "You passed 9000 input tokens. However, the model's context length is only 4096 tokens."),
        Reply.error(400, "the request exceeds the available context size, try increasing it"),
        Reply.error(400, "too much", code="context_length_exceeded"),
        Reply.error(422, "`inputs` tokens + `max_new_tokens` must be <= 4096"),
        Reply.error(413, "Payload Too Large"),
        Reply.events(json.dumps({"error": {"message": "Your input exceeds the context window of this model"}})),
    ],
)
async def test_a_prompt_that_is_too_long_is_shortened(
    serve: Serve, connect: Connect, context: CallContext, refusal: Reply
) -> None:
    server = serve(in_turn(refusal, refusal, Reply("a network")))
    answer = await ask(connect(server), context, shorten=lambda n: (("user", "x" * (9 - n)),))
    assert isinstance(answer, Answer)
    assert answer.messages == (("user", "x" * 7),)
    assert server.requests[2]["messages"] == [{"role": "user", "content": "x" * 7}]


async def test_a_prompt_that_cannot_be_shortened_further_is_a_failure(
    serve: Serve, connect: Connect, context: CallContext
) -> None:
    server = serve(in_turn(TOO_LONG, TOO_LONG))
    failure = await ask(connect(server), context, shorten=lambda n: SHORTER if n == 1 else None)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.CONTEXT
    assert failure.message.startswith("the prompt does not fit the model's context (400: This model's maximum context")
    assert server.num_requests == 2


async def test_what_an_endpoint_does_not_count_is_estimated_and_said_so(
    serve: Serve, connect: Connect, context: CallContext
) -> None:
    answer = await ask(connect(serve(in_turn(Reply("a network", usage=None)))), context)
    assert isinstance(answer, Answer)
    call = answer.call
    assert (call.input_tokens, call.output_tokens) == (8, 3), "33 and 9 characters"
    assert call.note == "tokens estimated, four characters each"


async def test_text_without_a_utf_8_form_is_replaced(serve: Serve, connect: Connect, context: CallContext) -> None:
    answer = await ask(connect(serve(in_turn(Reply("a \ud800 network")))), context)
    assert isinstance(answer, Answer)
    assert answer.text == "a ? network"


CONVERSATIONS: dict[str, list[Reply]] = {
    "an answer": [Reply("a network")],
    "a continuation": [Reply("a net", "length"), Reply("work")],
    "several continuations": [Reply("a ", "length"), Reply("net", "length"), Reply("work")],
    "a shortened prompt": [TOO_LONG, Reply("a network")],
    "an empty answer": [Reply(""), Reply("a network")],
    "a broken answer": [Reply.cut("a"), Reply("a network")],
    "a failure": [TOO_LONG, TOO_LONG],
    "another failure": [Reply.cut("a"), Reply.cut("b"), Reply.cut("c")],
}


@pytest.mark.parametrize("replies", CONVERSATIONS.values(), ids=CONVERSATIONS.keys())
async def test_a_resumed_call_makes_no_request_and_ends_the_same(
    serve: Serve, connect: Connect, context: CallContext, delays: list[float], replies: Iterable[Reply]
) -> None:
    def shorten(num_left_out: int) -> tuple[tuple[str, str], ...] | None:
        return SHORTER if num_left_out == 1 else None

    first = await ask(connect(serve(in_turn(*replies))), context, shorten=shorten)
    delays.clear()
    server = serve(in_turn())
    assert await ask(connect(server), context, shorten=shorten) == first
    assert server.num_requests == 0
    assert delays == []


async def test_a_call_goes_on_where_the_endpoint_went_down(
    serve: Serve, connect: Connect, context: CallContext, log: SqliteHistory
) -> None:
    down = Reply.error(503, "gone")
    with pytest.raises(EndpointError):
        await ask(connect(serve(in_turn(Reply("a net", "length"), down, down, down))), context)
    server = serve(in_turn(Reply("work")))
    answer = await ask(connect(server), context)
    assert isinstance(answer, Answer)
    assert answer.text == "a network"
    assert len(log.calls(context.candidate_id)) == 2


async def test_another_prompt_context_or_role_is_another_call(
    serve: Serve, connect: Connect, context: CallContext
) -> None:
    server = serve(lambda request: Reply(request["messages"][-1]["content"]))
    model = connect(server)
    calls = [
        ("mutation", context, MESSAGES),
        ("mutation", context, SHORTER),
        ("mutation", CallContext(context.candidate_id, version=1, seed=0), MESSAGES),
        ("debug", context, MESSAGES),
    ]
    for role, whose, messages in calls:
        answer = await model.complete(role, whose, messages, step=Step.MUTATE)
        assert isinstance(answer, Answer)
        assert answer.text == messages[-1][1]
    assert server.num_requests == len(calls)


async def test_an_answer_that_cannot_be_stored_is_not_used(serve: Serve, context: CallContext) -> None:
    class FullDisk:
        def find_answer(self, key: CallKey) -> Answer | None:
            return None

        def add_answer(self, key: CallKey, answer: Answer) -> None:
            raise StorageError("the disk is full")

    settings = LanguageModelSettings(model="scripted", base_url=serve(in_turn(Reply("a network"))).url)
    model = LanguageModel(settings, FullDisk())
    with pytest.raises(StorageError):
        await ask(model, context)
    await model.aclose()


async def test_no_more_calls_run_at_a_time_than_allowed(serve: Serve, connect: Connect) -> None:
    pairs = threading.Barrier(2, timeout=10)

    def reply(request: Request) -> Reply:
        pairs.wait()  # passes only while two requests are open
        return Reply("a network")

    server = serve(reply)
    model = connect(server, concurrency=2)
    contexts = [CallContext(f"g01-fair-r1-s{slot:02d}-d0", 0, 0) for slot in range(6)]
    answers = await asyncio.gather(*(ask(model, context) for context in contexts))
    assert all(isinstance(answer, Answer) for answer in answers)
    assert (server.num_requests, server.most_at_once) == (6, 2)


async def test_a_cancelled_call_is_repeated_by_the_next(serve: Serve, connect: Connect, context: CallContext) -> None:
    arrived = threading.Event()

    def hold(request: Request) -> Reply:
        arrived.set()
        return Reply("too late", until=threading.Event())

    task = asyncio.create_task(ask(connect(serve(hold)), context))
    await asyncio.to_thread(arrived.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    answer = await ask(connect(serve(in_turn(Reply("a network")))), context)
    assert isinstance(answer, Answer)


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://host/v1", "http:///v1", "http://[::1/v1"])
def test_a_base_url_that_is_none_is_refused(url: str, log: SqliteHistory) -> None:
    with pytest.raises(SettingsError) as caught:
        LanguageModel(LanguageModelSettings(model="m", base_url=url), log)
    assert str(caught.value) == f"--llm.base-url: expected a URL such as http://localhost:8000/v1 for m, found {url!r}"


def test_importing_the_client_loads_no_sdk() -> None:
    code = "import sys, agents.llm, agents.mutator; print({'openai', 'langchain_core', 'jinja2'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
