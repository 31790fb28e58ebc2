"""A scripted HTTP server that speaks the OpenAI chat protocol, and shows every fault a real endpoint does.

In a test::

    with ScriptedServer(lambda request: Reply("hello")) as server:
        settings = LanguageModelSettings(model="scripted", base_url=server.url)
        ...
    assert server.num_requests == 1

As a process of its own, for tests that kill the client (``GET /counts`` tells what was asked so far)::

    python tests/openai_server.py --port 0 --script tests.e2e.scripts:reply
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Request = dict[str, Any]
"""The JSON body of ``POST /v1/chat/completions``."""


@dataclass(frozen=True)
class Reply:
    """What the server does with one request: by default it answers with ``text``, streamed where that was asked for.

    ``finish`` None leaves the reason out, ``usage`` None the token counts (prompt, completion). ``dropped`` closes
    the connection after the text, before the answer is complete. ``body`` is sent as it is, in place of a
    completion. ``until`` holds the reply back until the event is set, or the server closes.
    """

    text: str = ""
    finish: str | None = "stop"
    usage: tuple[int, int] | None = (100, 50)
    reasoning: str = ""
    dropped: bool = False
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = "application/json"
    until: threading.Event | None = None

    @classmethod
    def error(cls, status: int, message: str, *, code: str = "", headers: Mapping[str, str] | None = None) -> Self:
        """A refusal in OpenAI's form."""
        body = json.dumps({"error": {"message": message, "type": "error", "code": code or None}}).encode()
        return cls(status=status, body=body, headers=headers or {})

    @classmethod
    def page(cls, html: str) -> Self:
        """A web page with status 200, as a proxy or a wrong URL gives."""
        return cls(body=html.encode(), content_type="text/html")

    @classmethod
    def events(cls, *lines: str) -> Self:
        """A stream of the given ``data:`` lines, well formed or not."""
        return cls(body="".join(f"data: {line}\n\n" for line in lines).encode(), content_type="text/event-stream")

    @classmethod
    def cut(cls, text: str) -> Self:
        """A stream that ends in the middle as if it were complete: no finish reason, no usage, no error."""
        return cls(text, finish=None, usage=None)


Script = Callable[[Request], Reply]


def prompt_of(request: Request) -> str:
    """All messages of a request as one text: what requests are counted by."""
    return "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in request["messages"])


class ScriptedServer:
    """The server, running in threads from ``with`` to its end; see the module.

    ``requests`` holds every request in the order of arrival, ``asked`` counts them by their prompt, and ``answered``
    counts those that got a whole completion: no refusal, no raw body, nothing cut. ``most_at_once`` is the largest
    number of requests that were open at one time, ``num_connections`` counts connections. ``models`` are listed under
    ``/v1/models``, or else a refusal of that; it is not there where they are ``None``. ``embed`` makes the vectors of
    ``/v1/embeddings``, after the replies of ``embedding_faults`` have been sent in its place, one a request;
    ``embedded`` holds those requests.
    """

    def __init__(
        self,
        script: Script,
        *,
        port: int = 0,
        models: Sequence[str] | Reply | None = None,
        embed: Callable[[str], Sequence[float]] | None = None,
        embedding_faults: Sequence[Reply] = (),
    ) -> None:
        self.models = models
        self.embed = embed
        self.embedding_faults = list(embedding_faults)
        self.embedded: list[Request] = []
        self.requests: list[Request] = []
        self.api_keys: list[str] = []
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.most_at_once = 0
        self.num_connections = 0
        self._script = script
        self._num_open = 0
        self._closing = False
        self._lock = threading.Condition()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing = True
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The base URL for a client."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def num_requests(self) -> int:
        """How many requests arrived."""
        return len(self.requests)

    def wait_until_asked(self, num_requests: int, timeout_seconds: float = 10) -> bool:
        """Wait until so many requests have arrived; False where they do not in time."""
        with self._lock:
            return self._lock.wait_for(lambda: len(self.requests) >= num_requests, timeout_seconds)

    def serve_until_interrupted(self) -> None:
        """Stay, for a server that is a process of its own."""
        self._thread.join()

    def counts(self) -> dict[str, dict[str, int]]:
        """``asked`` and ``answered`` as plain data: what ``GET /counts`` gives."""
        with self._lock:
            return {"asked": dict(self.asked), "answered": dict(self.answered)}

    def begin(self, request: Request, api_key: str) -> Reply:
        """Count a request and ask the script for its reply."""
        with self._lock:
            self.requests.append(request)
            self.api_keys.append(api_key)
            self.asked[prompt_of(request)] += 1
            self._num_open += 1
            self.most_at_once = max(self.most_at_once, self._num_open)
            self._lock.notify_all()
        reply = self._script(request)
        while reply.until is not None and not self._closing and not reply.until.wait(0.02):
            pass
        return reply

    def end(self, request: Request, *, complete: bool) -> None:
        """Count a request as no longer open, and as answered if its completion is whole."""
        with self._lock:
            self._num_open -= 1
            if complete:
                self.answered[prompt_of(request)] += 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    owner: ScriptedServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    _open = False

    def setup(self) -> None:
        super().setup()
        self.server.owner.num_connections += 1

    def do_GET(self) -> None:
        models = self.server.owner.models
        if self.path == "/counts":
            self._send(200, json.dumps(self.server.owner.counts()).encode(), "application/json")
        elif self.path != "/v1/models" or models is None:
            self._send(404, b"{}", "application/json")
        elif isinstance(models, Reply):
            self._send(models.status, models.body or b"", models.content_type)
        else:
            content = {"object": "list", "data": [{"id": name, "object": "model"} for name in models]}
            self._send(200, json.dumps(content).encode(), "application/json")

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/embeddings" and self.server.owner.embed is not None:
            self._embed(json.loads(content), self.server.owner.embed)
            return
        if self.path != "/v1/chat/completions":
            self._send(404, b'{"detail": "Not Found"}', "application/json")
            return
        request = json.loads(content)
        api_key = self.headers.get("authorization", "").removeprefix("Bearer ")
        self._open = True
        try:
            reply = self.server.owner.begin(request, api_key)
            self._reply(request, reply)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client gave up; that is part of some tests
        finally:
            self._end(request, complete=False)

    def _embed(self, request: Request, embed: Callable[[str], Sequence[float]]) -> None:
        owner = self.server.owner
        owner.embedded.append(request)
        owner.api_keys.append(self.headers.get("authorization", "").removeprefix("Bearer "))
        if owner.embedding_faults:
            fault = owner.embedding_faults.pop(0)
            self._send(fault.status, fault.body or b"", fault.content_type, fault.headers)
            return
        # The last first: a client has to go by the index.
        rows = [
            {"object": "embedding", "index": index, "embedding": list(embed(text))}
            for index, text in reversed(list(enumerate(request["input"])))
        ]
        content = {"object": "list", "model": request["model"], "data": rows, "usage": _usage((1, 0))}
        self._send(200, json.dumps(content).encode(), "application/json")

    def _end(self, request: Request, *, complete: bool) -> None:
        """Count the request as done, once: before the last bytes are sent, so that the client finds it counted."""
        if self._open:
            self._open = False
            self.server.owner.end(request, complete=complete)

    def _reply(self, request: Request, reply: Reply) -> None:
        if reply.body is not None:
            self._end(request, complete=False)
            self._send(reply.status, reply.body, reply.content_type, reply.headers)
        elif request.get("stream"):
            self._stream(request, reply)
        elif reply.dropped:
            self._drop(json.dumps(_completion(request, reply)).encode())
        else:
            self._end(request, complete=True)
            self._send(200, json.dumps(_completion(request, reply)).encode(), "application/json", reply.headers)

    def _send(self, status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in {"content-type": content_type, "content-length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, request: Request, reply: Reply) -> None:
        self.send_response_only(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in _events(request, reply):
            data = f"data: {event}\n\n".encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        if reply.dropped:
            self.close_connection = True
        else:
            self._end(request, complete=reply.finish is not None)
            self.wfile.write(b"0\r\n\r\n")

    def _drop(self, body: bytes) -> None:
        self.send_response_only(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep the tests' output clean."""


def _completion(request: Request, reply: Reply) -> dict[str, Any]:
    message = {"role": "assistant", "content": reply.text}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    choice = {"index": 0, "message": message, "finish_reason": reply.finish}
    body = {**_envelope(request, "chat.completion"), "choices": [choice]}
    return body if reply.usage is None else {**body, "usage": _usage(reply.usage)}


def _events(request: Request, reply: Reply) -> Iterator[str]:
    def event(delta: dict[str, str], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return json.dumps({**_envelope(request, "chat.completion.chunk"), "choices": [choice]})

    yield event({"role": "assistant", "content": ""})
    if reply.reasoning:
        yield event({"reasoning_content": reply.reasoning})
    for start in range(0, len(reply.text), 64):
        yield event({"content": reply.text[start : start + 64]})
    if reply.finish is None or reply.dropped:
        return
    yield event({}, reply.finish)
    if reply.usage is not None and request.get("stream_options", {}).get("include_usage"):
        envelope = _envelope(request, "chat.completion.chunk")
        yield json.dumps({**envelope, "choices": [], "usage": _usage(reply.usage)})
    yield "[DONE]"


def _envelope(request: Request, kind: str) -> dict[str, Any]:
    return {"id": "scripted", "object": kind, "created": 0, "model": request["model"]}


def _usage(usage: tuple[int, int]) -> dict[str, int]:
    prompt, completion = usage
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted; the first line of output is the base URL."""
    parser = argparse.ArgumentParser(description="A scripted OpenAI-compatible server.")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--script", required=True, help="module:function that maps a request to a Reply")
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(Path.cwd()))
    module, _, function = options.script.partition(":")
    script: Script = getattr(importlib.import_module(module), function)
    with ScriptedServer(script, port=options.port) as server:
        print(server.url, flush=True)
        server.serve_until_interrupted()


if __name__ == "__main__":
    main()
