"""What the client tells the ledger: of every request that is sent, before it is, and what came of it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from agents.llm.client import LanguageModel
from agents.replies.reply_schemas import VERDICT
from fairnad.errors import EndpointError
from fairnad.ports import Answer, CallContext, CallKey
from fairnad.records.candidate import Failure, Step
from fairnad.records.prices import NOTHING, Usage, most_input_tokens
from store.history_store import SqliteHistory
from tests.openai_server import Reply, Request, ScriptedServer

MESSAGES = (("system", "You design networks."), ("user", "Design one."))
PRICED = {"price_input": 2.0, "price_output": 10.0, "max_tokens": 64}
MOST = Usage(27, 64, (27 * 2 + 64 * 10) / 1e6)
"""20 and 11 characters, three to a token, and eight for each message."""

Connect = Callable[..., LanguageModel]
Serve = Callable[[Callable[[Request], Reply]], ScriptedServer]


@dataclass
class Notebook:
    """A ledger that writes down what it is told."""

    reserved: list[tuple[CallKey, str, Usage]] = field(default_factory=list)
    settled: dict[int, tuple[Usage, str]] = field(default_factory=dict)

    async def reserve(self, key: CallKey, model: str, most: Usage) -> int:
        self.reserved.append((key, model, most))
        return len(self.reserved) - 1

    async def settle(self, number: int, spent: Usage, note: str = "") -> None:
        self.settled[number] = spent, note


async def ask(model: LanguageModel, context: CallContext) -> Answer | Failure:
    return await model.complete("mutation", context, MESSAGES, step=Step.MUTATE)


async def test_a_request_is_reserved_at_its_worst_and_settled_at_what_it_cost(
    serve: Serve, connect: Connect, context: CallContext, log: SqliteHistory
) -> None:
    ledger = Notebook()
    server = serve(lambda request: Reply("a network", usage=(120, 30)))
    answer = await ask(connect(server, ledger, **PRICED), context)
    assert isinstance(answer, Answer)
    assert (answer.call.usd, answer.temperature, answer.max_tokens) == ((120 * 2 + 30 * 10) / 1e6, 0.7, 64)
    ((key, model, most),) = ledger.reserved
    assert (key.candidate_id, key.role, model, most) == (context.candidate_id, "mutation", "scripted", MOST)
    assert ledger.settled == {0: (Usage(120, 30, answer.call.usd), "")}
    assert await ask(connect(server, ledger, **PRICED), context) == answer
    assert len(ledger.reserved) == 1, "what is stored costs nothing again"


FAULTS = {
    "refused for its number": (Reply.error(429, "slow down"), NOTHING, "429: slow down"),
    "a server's fault": (Reply.error(500, "oops"), Usage(8, 0, 16e-6), "500: oops; tokens estimated, four"),
    "cut": (Reply.cut("half a"), Usage(8, 2, 36e-6), "tokens estimated, four characters each"),
    "a web page": (Reply.page("<html>"), Usage(8, 0, 16e-6), "tokens estimated, four characters each"),
}


@pytest.mark.parametrize(("fault", "spent", "note"), FAULTS.values(), ids=FAULTS.keys())
async def test_a_request_that_failed_is_settled_at_what_is_known_and_each_retry_is_one_of_its_own(
    serve: Serve, connect: Connect, context: CallContext, fault: Reply, spent: Usage, note: str
) -> None:
    ledger, replies = Notebook(), [fault, Reply("a network")]
    server = serve(lambda request: replies.pop(0))
    assert isinstance(await ask(connect(server, ledger, **PRICED), context), Answer)
    assert len(ledger.reserved) == len(ledger.settled) == 2
    assert ledger.settled[0][0] == spent
    assert note in ledger.settled[0][1]
    assert ledger.settled[1][0].tokens == 150


async def test_silence_costs_the_prompt_at_least(serve: Serve, connect: Connect, context: CallContext) -> None:
    ledger = Notebook()
    server = serve(lambda request: Reply("late", until=threading.Event()))
    with pytest.raises(EndpointError):
        await ask(connect(server, ledger, timeout_seconds=0.2, max_retries=0, **PRICED), context)
    assert ledger.settled[0] == (Usage(8, 0, 16e-6), "silent for 0.2 seconds; tokens estimated, four characters each")


async def test_what_never_reached_an_endpoint_costs_nothing(connect: Connect, context: CallContext) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
    ledger = Notebook()
    with pytest.raises(EndpointError):
        await ask(connect(url, ledger, max_retries=0, **PRICED), context)
    assert ledger.settled[0][0] == NOTHING


async def test_the_lines_and_the_schema_of_a_reply_that_is_data_are_reserved_too(
    serve: Serve, connect: Connect, context: CallContext
) -> None:
    ledger = Notebook()
    server = serve(lambda request: Reply('{"reason": "", "changed": true, "multi_layer": true}', usage=None))
    model = connect(server, ledger, **PRICED)
    answer = await model.complete("structural_judge", context, MESSAGES, step=Step.JUDGE, schema=VERDICT)
    assert isinstance(answer, Answer)
    (asked,) = server.requests
    sent = [(message["role"], message["content"]) for message in asked["messages"]]
    schema = json.dumps(asked["response_format"]["json_schema"]["schema"])
    ((_, _, most),) = ledger.reserved
    assert most.input_tokens == most_input_tokens([*sent, ("schema", schema)]) > most_input_tokens(sent) > 27
    assert answer.messages == MESSAGES, "what is stored is the prompt of the pack"
    assert answer.call.input_tokens == ledger.settled[0][0].input_tokens
