"""Replies that are data: asked for by JSON schema where that is taken, read in every form."""

import json
from collections.abc import Callable

import pytest

from agents.llm.client import LanguageModel
from agents.replies.reply_schemas import (
    IDEAS,
    PAPER_VERDICT,
    UNDERSTANDING,
    UNTAGGED_IDEAS,
    VERDICT,
    Schema,
    attributes,
)
from agents.structural_judge import LanguageModelStructuralJudge
from fairnad.errors import EndpointError
from fairnad.ports import Answer, CallContext, JudgeRequest, Model, Verdict
from fairnad.records.candidate import Step
from prompts.json_form import outline, with_json_form
from prompts.loader import Pack
from store.history_store import SqliteHistory
from tests.openai_server import Reply, Request, Script, ScriptedServer

MESSAGES = (("system", "You judge."), ("user", "Judge."))

Connect = Callable[..., LanguageModel]
Serve = Callable[[Script], ScriptedServer]

SCHEMAS = {
    "verdict": VERDICT,
    "paper": PAPER_VERDICT,
    "ideas": IDEAS,
    "untagged": UNTAGGED_IDEAS,
    "query": UNDERSTANDING,
    "attributes": attributes({"performance": {"operation": {"activation": ["gelu"]}}}),
}


async def ask(model: LanguageModel, context: CallContext) -> Answer:
    answer = await model.complete("structural_judge", context, MESSAGES, step=Step.JUDGE, schema=VERDICT)
    assert isinstance(answer, Answer)
    return answer


def objects(schema: Schema) -> list[Schema]:
    inner = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    own = [schema] if schema.get("type") == "object" else []
    return [*own, *(one for part in inner for one in objects(part))]


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_schema_is_in_the_strict_form_that_endpoints_take(schema: Schema) -> None:
    json.dumps(schema)
    for one in objects(schema):
        assert list(one["properties"]) == one["required"]
        assert one["additionalProperties"] is False


def test_a_prompt_names_the_object_it_wants() -> None:
    assert (
        outline(VERDICT) == '{"reason": "<why, in a few words>", "changed": true | false, "multi_layer": true | false}'
    )
    assert outline(SCHEMAS["attributes"]) == '{"performance": {"operation": {"activation": ["<attribute>", …]}}}'
    assert '"since": <a whole number> | null' in outline(UNDERSTANDING)
    assert '"target": "performance" | "efficiency" | null' in outline(UNDERSTANDING)
    first, (role, text) = with_json_form(MESSAGES, VERDICT)
    assert first == MESSAGES[0]
    assert role == "user"
    assert text.startswith("Judge.\n\nWhatever form of reply")
    assert text.endswith(outline(VERDICT) + "\n")


async def test_the_schema_is_sent(serve: Serve, connect: Connect, context: CallContext) -> None:
    server = serve(lambda request: Reply('{"reason": "", "changed": true, "multi_layer": true}'))
    answer = await ask(connect(server), context)
    form = server.requests[0]["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["schema"] == VERDICT
    assert answer.messages == MESSAGES, "what is stored is the prompt of the pack"


REFUSALS = [
    Reply.error(400, "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."),
    Reply.error(400, "failed to parse grammar"),
    Reply.error(422, "body.response_format: extra fields not permitted"),
    Reply.error(501, "structured outputs are not built in"),
]


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_where_it_is_refused_the_prompt_alone_names_the_form_from_then_on(
    serve: Serve, connect: Connect, context: CallContext, delays: list[float], log: SqliteHistory, refusal: Reply
) -> None:
    server = serve(lambda request: refusal if "response_format" in request else Reply("yes"))
    model = connect(server, max_retries=0)
    assert (await ask(model, context)).text == "yes"
    assert (await ask(model, CallContext(context.candidate_id, 1, 0))).text == "yes"
    assert ["response_format" in request for request in server.requests] == [True, False, False]
    assert all(outline(VERDICT) in request["messages"][-1]["content"] for request in server.requests)
    assert delays == []
    assert len(log.calls(context.candidate_id)) == 2


async def test_it_is_never_sent_where_it_is_off(serve: Serve, connect: Connect, context: CallContext) -> None:
    server = serve(lambda request: Reply("yes"))
    await ask(connect(server, json_schema="off"), context)
    assert "response_format" not in server.requests[0]


async def test_where_it_is_demanded_a_refusal_is_told(serve: Serve, connect: Connect, context: CallContext) -> None:
    server = serve(lambda request: REFUSALS[0])
    with pytest.raises(EndpointError, match=r"refuses the request \(400: Invalid parameter: 'response_format'"):
        await ask(connect(server, json_schema="on"), context)
    assert server.num_requests == 1


async def test_another_refusal_has_nothing_to_do_with_the_schema(
    serve: Serve, connect: Connect, context: CallContext
) -> None:
    server = serve(lambda request: Reply.error(400, "Unsupported value: 'temperature' must be 1."))
    with pytest.raises(EndpointError, match="temperature"):
        await ask(connect(server), context)
    assert ["temperature" in request for request in server.requests] == [True, False]
    assert all("response_format" in request for request in server.requests)


async def test_a_reply_that_is_cut_off_is_continued_without_the_schema(
    serve: Serve, connect: Connect, context: CallContext
) -> None:
    def reply(request: Request) -> Reply:
        whole = '{"reason": "other blocks", "changed": true, "multi_layer": true}'
        return Reply(whole[:30], "length") if "response_format" in request else Reply(whole[30:])

    answer = await ask(connect(serve(reply)), context)
    assert json.loads(answer.text)["reason"] == "other blocks"


@pytest.mark.parametrize(
    "text",
    [
        '{"reason": "same blocks", "changed": false, "multi_layer": true}',
        '```json\n{"reason": "same blocks", "changed": false, "multi_layer": true,}\n```',
        "changed: no - same blocks\nmulti-layer: yes\n##response## no",
    ],
)
async def test_the_judge_reads_a_verdict_in_either_form(
    serve: Serve, connect: Connect, context: CallContext, vision: Pack, text: str
) -> None:
    server = serve(lambda request: Reply(text))
    request = JudgeRequest(context, Model("class Network: ..."), Model("class Network: pass"))
    verdict = await LanguageModelStructuralJudge(connect(server), vision).judge(request)
    assert verdict == Verdict(changed=False, multi_layer=True, reason="same blocks")
    assert server.requests[0]["response_format"]["json_schema"]["schema"] == VERDICT


async def test_a_judge_can_be_asked_in_the_words_of_the_pack_alone(
    serve: Serve, connect: Connect, context: CallContext, vision: Pack
) -> None:
    server = serve(lambda request: Reply("changed: yes - a gate\nmulti-layer: yes - by its loop\n##response## yes"))
    request = JudgeRequest(context, Model("class Network: ..."), Model("class Network: pass"))
    verdict = await LanguageModelStructuralJudge(connect(server), vision, as_data=False).judge(request)
    assert isinstance(verdict, Verdict) and verdict.changed and verdict.multi_layer
    (asked,) = server.requests
    assert "response_format" not in asked
    words = vision.messages("structural_judge", judged="class Network: ...", parent="class Network: pass")
    assert [message["content"] for message in asked["messages"]] == [text for _, text in words]
