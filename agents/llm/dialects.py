"""A transport below langchain-openai's client, for endpoints that speak a dialect of the OpenAI chat protocol.

The client sends a standard streamed request and reads a standard stream. :class:`DialectTransport` forwards the request
and reads the answer in any form of :mod:`agents.llm.decoding`. Anything else is raised as it arrived, and interpreted
in :mod:`agents.llm.connection`. Nothing is retried here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextvars import ContextVar
from typing import Any

import httpx

from agents.llm.decoding import DONE, Decoder, Piece

_REST_SECONDS = 0.5

on_piece: ContextVar[Callable[[Piece], None]] = ContextVar("on_piece")
"""Called with each piece of the answers to this context's requests; a piece holds more than LangChain's chunks."""


class RefusedError(Exception):
    """An HTTP status other than 200, with the body as text."""

    def __init__(self, status: int, text: str, headers: httpx.Headers) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.text = text
        self.headers = headers


class LostError(Exception):
    """The connection failed by ``cause``. Not an error of httpx, which the client above would replace."""

    def __init__(self, cause: httpx.HTTPError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class DialectTransport(httpx.AsyncBaseTransport):
    """Answers every request with a standard stream of events, made from what the endpoint answers.

    Args:
        client: knows the base URL, the key and the time limits; it is not closed here.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """A response that sends the request when its body is read; see :class:`_Exchange` for the errors."""
        await request.aread()
        account = {name: value for name, value in request.headers.items() if name.startswith("openai-")}
        exchange = _Exchange(self._client, _body(request.content), account, on_piece.get())
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=exchange, request=request)


class _Exchange(httpx.AsyncByteStream):
    """One request and its answer.

    Reading it raises:
        RefusedError: the status is not 200.
        ReportedError, NotACompletionError: the body is an error, or no answer.
        LostError: the connection failed.
    """

    def __init__(
        self, client: httpx.AsyncClient, content: bytes, account: Mapping[str, str], report: Callable[[Piece], None]
    ) -> None:
        self._client = client
        self._content = content
        self._headers = {"content-type": "application/json", **account}
        self._report = report
        self._events = self._exchange()

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The events, once: a second reader (the client drains the body) gets the rest."""
        return self._events

    async def aclose(self) -> None:
        """End the request."""
        await self._events.aclose()

    async def _exchange(self) -> AsyncGenerator[bytes]:
        posted = self._client.stream("POST", "chat/completions", content=self._content, headers=self._headers)
        try:
            async with posted as response:
                if response.status_code != httpx.codes.OK:
                    await response.aread()
                    raise RefusedError(response.status_code, response.text, response.headers)
                async for piece in _pieces(response):
                    self._report(piece)
                    yield f"data: {json.dumps(_chunk(piece))}\n\n".encode()
        except httpx.HTTPError as error:
            raise LostError(error) from error
        yield f"data: {DONE}\n\n".encode()


def _body(content: bytes) -> bytes:
    """The body to send. The client always sends ``stream``, and some endpoints refuse even a false one."""
    fields = json.loads(content)
    if fields["stream"]:
        return content
    del fields["stream"]
    return json.dumps(fields).encode()


async def _pieces(response: httpx.Response) -> AsyncIterator[Piece]:
    decoder = Decoder()
    arriving = response.aiter_text()
    async for text in arriving:
        for piece in decoder.feed(text):
            yield piece
        if decoder.is_done:
            await _drain(arriving)
            break
    for piece in decoder.end():
        yield piece


async def _drain(arriving: AsyncIterator[str]) -> None:
    """Read what follows an answer, for a moment, so that the connection can be used again."""
    with contextlib.suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(_REST_SECONDS):
            async for _ in arriving:
                pass


def _chunk(piece: Piece) -> dict[str, Any]:
    """The piece as a standard chunk."""
    choice = {"index": 0, "delta": {"role": "assistant", "content": piece.text}, "finish_reason": piece.finish or None}
    chunk = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": "", "choices": [choice]}
    if not piece.input_tokens or not piece.output_tokens:
        return chunk
    total = piece.input_tokens + piece.output_tokens
    usage = {
        "prompt_tokens": piece.input_tokens,
        "completion_tokens": piece.output_tokens,
        "total_tokens": total,
    }
    return chunk | {"usage": usage}
