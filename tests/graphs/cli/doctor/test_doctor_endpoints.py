"""What the check-up says of language models and their endpoints."""

from __future__ import annotations

from fairnad.settings.model_entries import LanguageModelSettings
from fairnad.settings.role_settings import AgentSettings
from fairnad.settings.search_settings import (
    LimitSettings,
    RunContext,
)
from graphs.cli.doctor import Health, endpoint
from tests.graphs.cli.doctor.findings import told
from tests.graphs.runtime.recorded_calls import write_calls
from tests.openai_server import Reply, ScriptedServer


def with_model(context: RunContext, url: str) -> RunContext:
    return context.model_copy(update={"llm": LanguageModelSettings(model="m", base_url=url)})


async def test_no_model_is_fine_and_one_without_a_key_is_not(context):
    assert [told(one)[0] for one in await endpoint.examine_endpoint(context)] == ["OK"]
    (missing,) = await endpoint.examine_endpoint(with_model(context, ""))
    assert told(missing)[:2] == ("FAIL", "OPENAI_API_KEY is not set")
    (wrong,) = await endpoint.examine_endpoint(
        context.model_copy(update={"agents": AgentSettings(players={"mutator": "llm"})})
    )
    assert wrong.health is Health.FAIL


async def test_an_endpoint_that_answers(context):
    with ScriptedServer(lambda request: Reply("ready", usage=(9, 5)), models=["m"]) as server:
        key, model, answer = await endpoint.examine_endpoint(with_model(context, server.url))
    assert told(key) == ("OK", "none set; this endpoint may need none", "")
    assert told(model) == ("OK", f"m, listed by {server.url}", "")
    assert answer.health is Health.OK
    assert "5 tokens, " in answer.found


async def test_an_endpoint_is_asked_as_a_search_asks(context):
    """Where it fails in a search, it fails here: a context of 1,000 tokens answers one word, but no mutation."""

    def reply(request):
        num_characters = sum(len(message["content"]) for message in request["messages"])
        return Reply.error(500, "Context size has been exceeded.") if num_characters > 3000 else Reply("ready")

    with ScriptedServer(reply, models=["m"]) as server:
        *_, answer = await endpoint.examine_endpoint(with_model(context, server.url))
        request = server.requests[0]
    assert told(answer) == (
        "FAIL",
        "the prompt does not fit the model's context (500: Context size has been exceeded.; tokens estimated, four "
        "characters each)",
        "a longer context where the model is served, or a lower --llm.max-tokens",
    )
    assert [message["role"] for message in request["messages"]] == ["system", "user"]
    assert "class Network" in request["messages"][1]["content"]
    assert (request["max_tokens"], request["stream"]) == (8192, True)


async def test_every_endpoint_of_several_is_asked(context, monkeypatch):
    monkeypatch.setenv("OTHER_KEY", "sk-other")
    with (
        ScriptedServer(lambda request: Reply("ready"), models=["a"]) as one,
        ScriptedServer(lambda request: Reply.error(401, "no")) as two,
    ):
        models = [
            {"model": "a", "base_url": one.url},
            {"model": "b", "base_url": two.url, "key_variable": "OTHER_KEY"},
            {"model": "c", "key_variable": "NO_SUCH_KEY"},
        ]
        several = context.model_copy(update={"llm": LanguageModelSettings.model_validate({"models": models})})
        found = [told(finding) for finding in await endpoint.examine_endpoint(several)]
    assert found[:2] == [
        ("OK", "a: none set; this endpoint may need none", ""),
        ("OK", f"a: a, listed by {one.url}", ""),
    ]
    assert [(health, text.partition(":")[0]) for health, text, _ in found[2:]] == [
        ("OK", "a"),
        ("OK", "b"),
        ("FAIL", "b"),
        ("FAIL", "c"),
    ]
    assert found[4][2] == "set OTHER_KEY to a key it accepts"
    assert found[5][1:] == ("c: NO_SUCH_KEY is not set", "export it, or set base_url of its entry to another endpoint")


async def test_an_endpoint_that_has_other_models_or_refuses(context):
    models = [f"model-{number}" for number in range(9)]
    with ScriptedServer(lambda request: Reply.error(404, "no m here"), models=models) as server:
        _, model, answer = await endpoint.examine_endpoint(with_model(context, server.url))
    listed = ", ".join(models[:6])
    assert told(model) == ("WARN", f"{server.url} does not list m", f"--llm.model: it lists {listed}, …")
    assert answer.health is Health.FAIL
    assert answer.advice.startswith("set --llm.model to a model it serves")
    _, answer = await endpoint.examine_endpoint(with_model(context, server.url))
    assert (answer.health, answer.advice) == (Health.FAIL, "start the server, or set --llm.base-url")


async def test_a_limit_on_money_needs_the_price_of_every_model(context):
    with ScriptedServer(lambda request: Reply("ready"), models=["a", "b"]) as server:
        models = [
            {"model": "a", "base_url": server.url, "price_input": 0.5, "price_output": 2},
            {"model": "b", "base_url": server.url},
        ]
        several = {"llm": LanguageModelSettings.model_validate({"models": models}), "limit": LimitSettings(usd=2)}
        found = await endpoint.examine_endpoint(context.model_copy(update=several))
        one = {"llm": with_model(context, server.url).llm, "limit": LimitSettings(usd=2)}
        alone = await endpoint.examine_endpoint(context.model_copy(update=one))
    prices = [told(finding) for finding in found if finding.part == "price"]
    assert prices == [
        ("OK", "a: 0.5 USD per million prompt tokens, 2 per million reply tokens", ""),
        (
            "FAIL",
            "b: unknown, but --limit.usd 2 needs it",
            "set price_input of its entry and price_output of its entry",
        ),
    ]
    assert told(alone[-1])[::2] == ("FAIL", "set --llm.price-input and --llm.price-output")


async def test_a_limit_that_one_reply_could_pass_is_worth_a_word(context):
    with ScriptedServer(lambda request: Reply("ready"), models=["m"]) as server:
        limited = with_model(context, server.url).model_copy(update={"limit": LimitSettings(tokens=2000)})
        *_, found = await endpoint.examine_endpoint(limited)
    assert told(found) == (
        "WARN",
        "one reply may take 8,192, but --limit.tokens is 2,000: no call can be made",
        "raise --limit.tokens, or lower --llm.max-tokens",
    )


async def test_a_replay_needs_no_endpoint_but_recorded_calls(context, tmp_path):
    log = write_calls(tmp_path / "log", ["m", "m"])
    llm = LanguageModelSettings(model="m", base_url="http://127.0.0.1:9/v1", replay=str(log))
    replay = context.model_copy(update={"llm": llm, "limit": LimitSettings(usd=1)})
    (found,) = await endpoint.examine_endpoint(replay)
    assert told(found) == ("OK", f"m, replayed from 2 calls in {log}; no endpoint", "")
    log.unlink()
    (found,) = await endpoint.examine_endpoint(replay)
    assert (found.health, found.advice) == (Health.FAIL, "name a run with recorded calls")
    assert "found none at" in found.found
