"""Several endpoints: who answers, and who does where one is down."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from agents.llm.client import LanguageModel
from fairnad.errors import EndpointError
from fairnad.ports import Answer, CallContext
from fairnad.records.candidate import Step
from fairnad.records.draw_decisions import DrawDecisions
from store.history_store import SqliteHistory
from tests.openai_server import Reply, Request, Script, ScriptedServer

MESSAGES = (("system", "You design networks."), ("user", "Design one."))

Connect = Callable[..., LanguageModel]
Serve = Callable[[Script], ScriptedServer]


def says(text: str) -> Script:
    return lambda request: Reply(text)


def entry(server: ScriptedServer, model: str = "m", **more: Any) -> dict[str, Any]:
    return {"model": model, "base_url": server.url, **more}


def contexts(count: int) -> list[CallContext]:
    return [CallContext(f"g01-fair-r1-s{slot:02d}-d0", 0, 0) for slot in range(count)]


async def ask(model: LanguageModel, context: CallContext, role: str = "mutation") -> Answer:
    answer = await model.complete(role, context, MESSAGES, step=Step.MUTATE)
    assert isinstance(answer, Answer)
    return answer


@pytest.fixture
def nobody() -> str:
    """A URL nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


async def test_the_model_that_was_chosen_at_the_draw_answers(serve: Serve, connect: Connect) -> None:
    one, two = serve(says("one")), serve(says("two"))
    model = connect(None, models=[entry(one, "a"), entry(two, "b")])
    for chosen, text in (("a", "one"), ("b", "two")):
        answer = await ask(model, CallContext(f"g01-fair-r1-s0{ord(chosen) % 8}-d0", 0, 0, DrawDecisions(model=chosen)))
        assert (answer.text, answer.call.model, answer.call.note) == (text, chosen, "")


async def test_a_role_with_a_model_of_its_own_is_played_by_it_and_that_one_plays_no_other(
    serve: Serve, connect: Connect
) -> None:
    judge, rest = serve(says("judge")), serve(says("rest"))
    model = connect(None, models=[entry(judge, "j", roles=["structural_judge"], weight=1000), entry(rest, "r")])
    roles = ["structural_judge", "mutation", "debug", "idea_mutation_improved", "downscale", "question_answering"]
    context = CallContext("g01-fair-r1-s00-d0", 0, 0, DrawDecisions(model="r"))
    texts = [(await ask(model, context, role)).text for role in roles]
    assert texts == ["judge", *["rest"] * 5]


async def test_without_a_choice_the_work_is_shared_by_weight_and_alike_each_time(
    serve: Serve, connect: Connect
) -> None:
    one, two = serve(says("one")), serve(says("two"))
    model = connect(None, models=[entry(one, "a", weight=3), entry(two, "b")])
    first = [(await ask(model, context, "paper_filter")).text for context in contexts(40)]
    assert 22 <= Counter(first)["one"] <= 38
    assert [(await ask(model, context, "paper_filter")).text for context in contexts(40)] == first


async def test_two_endpoints_of_one_model_share_its_load(serve: Serve, connect: Connect) -> None:
    together = threading.Barrier(4, timeout=10)

    def reply(request: Request) -> Reply:
        together.wait()  # passes only while four requests are open
        return Reply("a network")

    one, two = serve(reply), serve(reply)
    model = connect(None, models=[entry(one, concurrency=2), entry(two, concurrency=2)])
    answers = await asyncio.gather(*(ask(model, context) for context in contexts(8)))
    assert {answer.call.model for answer in answers} == {"m"}
    assert (one.num_requests, two.num_requests) == (4, 4)
    assert (one.most_at_once, two.most_at_once) == (2, 2)


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_an_endpoint_that_refuses_is_left_at_once(
    serve: Serve, connect: Connect, context: CallContext, delays: list[float], status: int
) -> None:
    bad, good = serve(lambda request: Reply.error(status, "no")), serve(says("a network"))
    model = connect(None, models=[entry(bad, "a", weight=1000), entry(good, "b")])
    answer = await ask(model, context)
    assert (answer.text, answer.call.model) == ("a network", "b")
    assert answer.call.note.startswith(f"used because endpoint {bad.url} (model a) ")
    assert (bad.num_requests, delays) == (1, [])


async def test_one_that_does_not_answer_is_left_after_its_retries_and_rests_ever_longer(
    serve: Serve, connect: Connect, delays: list[float], nobody: str
) -> None:
    bad, good = serve(lambda request: Reply.error(503, "loading")), serve(says("a network"))
    model = connect(None, models=[entry(bad, "a", weight=1000), entry(good, "b")])
    asked = []
    for context in contexts(4):
        assert (await ask(model, context)).call.model == "b"
        asked.append(bad.num_requests)
    assert asked == [3, 3, 3, 3], "while it rests nobody asks it"
    delays.append(30)  # the rest is over: one try, and a longer rest
    assert (await ask(model, CallContext("g02-fair-r1-s00-d0", 0, 0))).call.model == "b"
    delays.append(30)
    assert (await ask(model, CallContext("g02-fair-r1-s01-d0", 0, 0))).call.model == "b"
    assert bad.num_requests == 4
    delays.append(31)
    bad._script = says("back")
    for slot in (2, 3):
        assert (await ask(model, CallContext(f"g02-fair-r1-s0{slot}-d0", 0, 0))).text == "back"


async def test_calls_that_fail_together_set_an_endpoint_aside_once(
    serve: Serve, connect: Connect, delays: list[float]
) -> None:
    together = threading.Barrier(4, timeout=10)

    def refuse(request: Request) -> Reply:
        if server.num_requests <= 4:
            together.wait()
        return Reply.error(401, "no")

    server, good = serve(refuse), serve(says("a network"))
    model = connect(None, models=[entry(server, "a", weight=1000), entry(good, "b")])
    await asyncio.gather(*(ask(model, context) for context in contexts(4)))
    assert server.num_requests == 4
    delays.append(31)
    await ask(model, CallContext("g02-fair-r1-s00-d0", 0, 0))
    assert server.num_requests == 5


async def test_where_all_are_down_each_has_its_line(serve: Serve, connect: Connect, nobody: str) -> None:
    bad = serve(lambda request: Reply.error(401, "no"))
    models = [{"model": "a", "base_url": nobody}, entry(bad, "b", key_variable="OTHER_KEY")]
    model = connect(None, models=models, max_retries=0)
    for slot in (0, 1):  # also while both rest
        with pytest.raises(EndpointError) as caught:
            await ask(model, CallContext(f"g01-fair-r1-s0{slot}-d0", 0, 0, DrawDecisions(model="a")))
        first, *lines = str(caught.value).split("\n")
        assert first == "none of 2 endpoints answers; nothing is lost; run the same command again to resume"
        told = sorted(lines)
        assert told[0].startswith(f"  endpoint {nobody} (model a) does not answer: ") or told[0].startswith(
            f"  endpoint {bad.url}"
        )
        assert f"  endpoint {bad.url} (model b) refuses the key (401: no): set OTHER_KEY to a key it accepts" in lines
        assert len(lines) == 2


async def test_each_endpoint_gets_the_key_of_its_variable(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, context: CallContext
) -> None:
    monkeypatch.setenv("OTHER_KEY", "sk-other")
    server = serve(says("yes"))
    await ask(connect(None, models=[entry(server, key_variable="OTHER_KEY", temperature=0.1)]), context)
    assert server.api_keys == ["sk-other"]
    assert server.requests[0]["temperature"] == 0.1


async def test_more_fields_reach_the_server(serve: Serve, connect: Connect, context: CallContext) -> None:
    server = serve(says("yes"))
    extra = {"chat_template_kwargs": {"enable_thinking": False}, "top_k": 20}
    await ask(connect(None, models=[entry(server, extra_body=extra)]), context)
    request = server.requests[0]
    assert (request["chat_template_kwargs"], request["top_k"], request["max_tokens"]) == (
        {"enable_thinking": False},
        20,
        8192,
    )


async def test_a_busy_endpoint_halts_alone(
    serve: Serve, connect: Connect, log: SqliteHistory, delays: list[float]
) -> None:
    busy = serve(
        lambda request: Reply("late") if len(delays) else Reply.error(429, "slow", headers={"retry-after": "9"})
    )
    free = serve(says("free"))
    model = connect(None, models=[entry(busy, "a"), entry(free, "b")])
    first, second = contexts(2)
    late = await ask(model, CallContext(first.candidate_id, 0, 0, DrawDecisions(model="a")))
    assert (late.text, delays) == ("late", [9.0])
    assert (await ask(model, CallContext(second.candidate_id, 0, 0, DrawDecisions(model="b")))).text == "free"
    assert delays == [9.0]


async def test_a_halt_holds_for_every_call_of_an_endpoint(serve: Serve, connect: Connect, delays: list[float]) -> None:
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "12s"}
    server = serve(lambda request: Reply(body=b"{}", status=500, headers=headers) if not delays else Reply("yes"))
    assert (await ask(connect(server), contexts(1)[0])).text == "yes"
    assert sum(delays) == pytest.approx(12.0), "its own delay, then what is left of the halt"


async def test_requests_keep_to_the_rate(serve: Serve, connect: Connect, delays: list[float]) -> None:
    server = serve(says("yes"))
    model = connect(server, requests_per_minute=10)
    for context in contexts(3):
        await ask(model, context)
    assert delays == pytest.approx([6.0, 6.0])


async def test_tokens_keep_to_the_rate_that_was_measured(serve: Serve, connect: Connect, delays: list[float]) -> None:
    server = serve(lambda request: Reply("yes", usage=(500, 500)))
    model = connect(server, tokens_per_minute=60_000)
    for context in contexts(40):
        await ask(model, context)
    assert 30 <= sum(delays) <= 40, "40,000 tokens, 6,000 of them at once, 1,000 a second"


async def test_a_failed_over_call_is_found_again_whoever_answers_now(
    serve: Serve, connect: Connect, context: CallContext, nobody: str
) -> None:
    good = serve(says("a network"))
    down = {"model": "a", "base_url": nobody, "weight": 1000}
    first = await ask(connect(None, models=[down, entry(good, "b")], max_retries=0), context)
    again = serve(says("another network"))
    assert await ask(connect(None, models=[entry(again, "a", weight=1000)]), context) == first
    assert again.num_requests == 0


async def test_many_slow_replies_are_waited_for_side_by_side(serve: Serve, connect: Connect) -> None:
    """Four rounds of sixteen; how long that takes is measured by benchmarks.slow_replies, on a quiet machine."""
    rounds = threading.Barrier(16, timeout=20)

    def slow(request: Request) -> Reply:
        rounds.wait()  # passes only while sixteen requests are open, so 64 take four times as long as one
        return Reply("a network")

    server = serve(slow)
    model = connect(server, concurrency=16)
    answers = await asyncio.gather(*(ask(model, context) for context in contexts(64)))
    assert {answer.text for answer in answers} == {"a network"}
    assert (server.num_requests, server.most_at_once) == (64, 16)
