"""The scripted server itself: what the end-to-end tests rely on."""

import http.client
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.openai_server import Reply, Request, ScriptedServer, prompt_of

REQUEST: dict[str, Any] = {"model": "scripted", "messages": [{"role": "user", "content": "hello"}]}


def post(url: str, **options: object) -> str:
    body = json.dumps({**REQUEST, **options}).encode()
    with urllib.request.urlopen(f"{url}/chat/completions", data=body, timeout=10) as response:
        return str(response.read().decode())


def echo(request: Request) -> Reply:
    return Reply(request["messages"][-1]["content"] * 50, usage=(1, 2))


def test_an_answer_comes_whole_where_no_stream_was_asked_for() -> None:
    with ScriptedServer(echo) as server:
        answer = json.loads(post(server.url))
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "hello" * 50}
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_stream_holds_the_pieces_in_order_and_usage_where_asked_for(include_usage: bool) -> None:
    with ScriptedServer(echo) as server:
        text = post(server.url, stream=True, stream_options={"include_usage": include_usage})
    *events, done = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert done == "[DONE]"
    chunks = [json.loads(event) for event in events]
    deltas = [choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]]
    assert "".join(deltas) == "hello" * 50
    assert len([delta for delta in deltas if delta]) > 1
    assert any("usage" in chunk for chunk in chunks) == include_usage


def test_a_connection_can_be_dropped_in_the_middle() -> None:
    with ScriptedServer(lambda request: Reply("hello", dropped=True)) as server:
        for stream in (True, False):
            with pytest.raises(http.client.IncompleteRead):
                post(server.url, stream=stream)
        assert server.counts() == {"asked": {"[user]\nhello": 2}, "answered": {}}


def test_a_refusal_carries_status_headers_and_body() -> None:
    busy = Reply.error(429, "busy", code="c", headers={"retry-after": "3"})
    with ScriptedServer(lambda request: busy) as server, pytest.raises(urllib.error.HTTPError) as caught:
        post(server.url)
    assert (caught.value.code, caught.value.headers["retry-after"]) == (429, "3")
    assert json.loads(caught.value.read()) == {"error": {"message": "busy", "type": "error", "code": "c"}}


def test_a_reply_can_be_held_back_and_requests_are_counted() -> None:
    release = threading.Event()
    answers: list[str] = []
    with ScriptedServer(lambda request: Reply("hello", until=release)) as server:
        clients = [threading.Thread(target=lambda: answers.append(post(server.url))) for _ in range(3)]
        for client in clients:
            client.start()
        assert server.wait_until_asked(3)
        assert server.most_at_once == 3
        assert server.counts() == {"asked": {"[user]\nhello": 3}, "answered": {}}
        release.set()
        for client in clients:
            client.join()
        assert len(answers) == 3
        assert prompt_of(server.requests[0]) == "[user]\nhello"


def test_a_process_of_its_own_serves_a_script_and_tells_what_it_was_asked() -> None:
    command = [sys.executable, "tests/openai_server.py", "--script", "tests.test_openai_server:echo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert "hellohello" in post(url)
            with urllib.request.urlopen(url.removesuffix("/v1") + "/counts", timeout=10) as response:
                counts = json.loads(response.read())
        finally:
            process.terminate()
    assert counts == {"asked": {"[user]\nhello": 1}, "answered": {"[user]\nhello": 1}}
