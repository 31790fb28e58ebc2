"""Asking an endpoint whether it is fit: every answer is a report, never an exception."""

from __future__ import annotations

import pytest

from agents.llm.endpoint_check import EndpointReport, ask_endpoint
from fairnad.errors import SettingsError
from fairnad.settings.model_entries import LanguageModelSettings
from tests.openai_server import Reply, Request, Script, ScriptedServer


async def report_on(script: Script, models: list[str] | None = None) -> EndpointReport:
    with ScriptedServer(script, models=models) as server:
        report = await ask_endpoint(LanguageModelSettings(model="m", base_url=server.url, temperature=0.2))
        assert report.url == server.url
        assert server.num_requests <= 2, "nothing is tried again"
        assert all(request["max_tokens"] == 8192 for request in server.requests)
        return report


async def test_an_endpoint_that_answers_is_timed() -> None:
    report = await report_on(lambda request: Reply("ready", usage=(10, 5)), ["m", "n"])
    assert (report.models, report.fault, report.advice, report.output_tokens) == (("m", "n"), "", "", 5)
    assert report.tokens_a_second == pytest.approx(5 / report.seconds)


async def test_one_that_lists_no_models_and_counts_no_tokens_is_fit_too() -> None:
    report = await report_on(lambda request: Reply("ready", usage=None))
    assert (report.models, report.fault, report.tokens_a_second) == (None, "", None)


async def test_a_model_whose_thoughts_do_not_end_is_as_unfit_as_in_a_search() -> None:
    report = await report_on(lambda request: Reply("", reasoning="hm", finish="length", usage=(10, 8192)))
    assert report.fault == "the model's reasoning does not end within 8192 tokens (--llm.max-tokens)"


async def test_a_long_reply_that_is_cut_off_is_an_answer_and_a_short_one_is_not() -> None:
    assert not (await report_on(lambda request: Reply("class Network", finish="length", usage=(10, 8192)))).fault
    report = await report_on(lambda request: Reply("rea", finish="length", usage=(10, 2)))
    assert report.fault == "the reply does not end within 8192 tokens (--llm.max-tokens)"


async def test_it_is_asked_as_it_is_and_by_schema_and_what_it_refuses_is_told() -> None:
    def reply(request: Request) -> Reply:
        if "temperature" in request:
            return Reply.error(400, "temperature is not supported")
        return Reply.error(400, "no response_format here") if "response_format" in request else Reply("ready")

    with ScriptedServer(reply) as server:
        prompts = [(("system", "Design."), ("user", "x" * 5000))]
        report = await ask_endpoint(LanguageModelSettings(model="m", base_url=server.url), prompts=prompts)
        asked = [sorted({"temperature", "response_format"} & set(request)) for request in server.requests]
        words = server.requests[-1]["messages"]
    assert (report.fault, report.quirks) == ("", ("it refuses response_format", "it refuses temperature"))
    assert asked == [["temperature"], [], ["response_format"], []]
    assert [message["role"] for message in words] == ["system", "user"]
    assert words[1]["content"].startswith("x" * 5000 + "\n\nThis is a trial")


async def test_a_prompt_that_does_not_fit_is_shortened_as_in_a_search() -> None:
    def reply(request: Request) -> Reply:
        length = len(request["messages"][-1]["content"])
        return Reply.error(400, "prompt is too long") if length > 3000 else Reply("ready")

    with ScriptedServer(reply) as server:
        settings = LanguageModelSettings(model="m", base_url=server.url)
        long, short = ((("user", "x" * number),) for number in (3000, 1000))
        assert not (await ask_endpoint(settings, prompts=[long, short])).fault
        report = await ask_endpoint(settings, prompts=[long])
    assert report.fault == "the prompt does not fit the model's context (400: prompt is too long)"


async def test_an_endpoint_that_fails_by_schema_alone_is_unfit_for_it() -> None:
    report = await report_on(lambda request: Reply("" if "response_format" in request else "ready"))
    assert report.fault == "by JSON schema: the reply was empty twice"


async def test_a_key_that_is_refused_comes_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
    report = await report_on(lambda request: Reply.error(401, "Incorrect API key: sk-wrong"))
    assert "refuses the key (401: Incorrect API key: …)" in report.fault
    assert report.advice == "set OPENAI_API_KEY to a key it accepts"
    assert "resume" not in report.fault + report.advice


async def test_a_key_that_is_refused_for_the_list_of_models_is_no_list() -> None:
    with ScriptedServer(lambda request: Reply("ready"), models=Reply.error(403, "no")) as server:
        report = await ask_endpoint(LanguageModelSettings(model="m", base_url=server.url))
    assert "refuses the key (403" in report.fault
    assert report.models is None
    assert server.num_requests == 0


@pytest.mark.parametrize(
    ("reply", "fault", "advice"),
    [
        (Reply.error(404, "no model m"), "has no such model (404: no model m)", "set --llm.model to a model it serves"),
        (Reply.error(503, "overloaded"), "does not answer: 503: overloaded", ""),
        (
            Reply.error(500, "model requires more system memory"),
            "system memory",
            "free memory on the endpoint's machine",
        ),
        (Reply.error(400, "model needs (5.6 GiB): of memory"), "of memory)", "free memory on the endpoint's machine"),
        (
            Reply.page("<html>hello</html>"),
            "the response is not a chat completion",
            "set --llm.base-url to where its API",
        ),
    ],
)
async def test_why_there_is_no_answer(reply: Reply, fault: str, advice: str) -> None:
    report = await report_on(lambda request: reply)
    assert fault in report.fault
    assert report.advice.startswith(advice)
    assert bool(report.advice) == bool(advice)


async def test_nobody_there() -> None:
    with ScriptedServer(lambda request: Reply()) as server:
        url = server.url
    report = await ask_endpoint(LanguageModelSettings(model="m", base_url=url))
    assert "does not answer" in report.fault
    assert report.models is None


async def test_an_answer_that_says_nothing_is_a_fault() -> None:
    report = await report_on(lambda request: Reply("", usage=(10, 0)))
    assert report.fault == "the reply was empty twice"


async def test_a_broken_answer_is_a_fault_of_the_endpoint() -> None:
    report = await report_on(lambda request: Reply("network", finish="error"))
    assert report.fault.startswith("the endpoint cut off every answer")
    assert report.advice == "the log of the endpoint, which says why, or another endpoint (--llm.base-url)"


async def test_a_url_that_is_none() -> None:
    with pytest.raises(SettingsError, match=r"--llm\.base-url: expected a URL"):
        await ask_endpoint(LanguageModelSettings(model="m", base_url="localhost"))
