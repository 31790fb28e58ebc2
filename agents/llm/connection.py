"""One endpoint: sends requests no faster than it allows, and retries after passing faults.

==========================================================  =========================================================
the endpoint                                                what follows
==========================================================  =========================================================
5xx, timeout, refused, no completion (a web page)           retried up to ``max_retries``, else :class:`Down`
429                                                         the same, and nothing else is sent until then
refuses a field or the system role                          asked again without it, see :mod:`agents.llm.quirks`
finds the prompt too long                                   an answer with finish ``context``
401, 403, 404, other 4xx, no quota                          :class:`Down` at once
==========================================================  =========================================================
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agents.llm.decoding import NotACompletionError, ReportedError
from agents.llm.faults import Fault, FaultKind, delay_seconds, interruption, not_a_completion, refusal
from agents.llm.quirks import Quirks
from agents.llm.rates import RateLimit
from agents.llm.streamed_reply import StreamedReply
from agents.replies.reply_schemas import Schema
from fairnad.error_bodies import ErrorBody, read_error_text
from fairnad.errors import SettingsError, StoppingError
from fairnad.ports import Answer, CallKey, Ledger
from fairnad.records.prices import most_input_tokens, price_of
from fairnad.settings.model_entries import LanguageModelSettings, ModelEntry
from prompts.json_form import with_json_form
from prompts.templates import Messages

if TYPE_CHECKING:
    import httpx
    from langchain_openai import ChatOpenAI

CHARACTERS_A_TOKEN = 3
_USUAL_REPLY_TOKENS = 1024
"""Reserved for a reply until the endpoint's own replies are known."""
_OPENAI_URL = "https://api.openai.com/v1"


class Down(Exception):
    """An endpoint does not answer or refuses: ``fault`` names it and says why, ``advice`` (may be empty) what to do."""

    def __init__(self, fault: str, advice: str) -> None:
        super().__init__(f"{fault}: {advice}" if advice else fault)
        self.fault = fault
        self.advice = advice


class Connection:
    """A language model at one OpenAI-compatible endpoint.

    ``url`` is where requests go, ``quirks`` what is known of the endpoint so far, ``num_open`` the number of requests
    that wait or run.
    """

    def __init__(
        self,
        entry: ModelEntry,
        settings: LanguageModelSettings,
        ledger: Ledger,
        sleep: Callable[[float], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        """Prepare the client; see :class:`agents.llm.model_pool.ModelPool`."""
        _check_url(entry)
        self.entry = entry
        self.limit = RateLimit(entry.requests_per_minute, entry.tokens_per_minute, clock)
        self.quirks = Quirks.expected(entry)
        self.num_open = 0
        self._settings = settings
        self._ledger = ledger
        self._price = price_of(entry)
        self._sleep = sleep
        self._slots = asyncio.Semaphore(entry.concurrency)
        self._key = os.environ.get(entry.key_variable, "")
        self.url = (entry.base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI_URL).rstrip("/")
        self._stopping = False
        self._num_answers = 0
        self._num_reply_tokens = 0

    def stop(self) -> None:
        """Begin no new request; open requests continue."""
        self._stopping = True

    async def fetch(
        self, key: CallKey, messages: Messages, schema: Schema | None = None, *, max_retries: int | None = None
    ) -> Answer:
        """The endpoint's answer, retried after temporary faults. Each attempt is reserved in the ledger.

        Nothing below this method retries. An answer that breaks off is returned as it is: :class:`LanguageModel` stores
        it and asks again.

        Args:
            schema: describes a reply that is JSON data.
            max_retries: instead of the setting.

        Raises:
            Down: the endpoint does not answer, or refuses the key, the model or the request.
            StoppingError: the run is being stopped.
        """
        max_retries = self._settings.max_retries if max_retries is None else max_retries
        sent = messages if schema is None else with_json_form(messages, schema)
        schema = schema if self.entry.json_schema != "off" else None
        num_retries = 0
        while True:
            quirks = self.quirks
            reply = await self._request(key, sent, schema, quirks)
            fault = reply.fault
            if fault is not None and not reply.num_pieces:
                sent_schema = schema is not None and self.entry.json_schema == "auto"
                lesson = quirks.learn(fault, self.entry, sent, sent_schema=sent_schema)
                if lesson is not None:
                    self.quirks = replace(self.quirks, **lesson.changes)
                    if lesson.asks_again:
                        continue
            if fault is None or reply.is_answer:
                answer = reply.to_answer(key.role, self.entry.title, sent, self._price)
                max_tokens = quirks.max_tokens(self.entry, sent)
                return replace(answer, messages=messages, temperature=self.entry.temperature, max_tokens=max_tokens)
            if fault.kind is FaultKind.HOPELESS or num_retries >= max_retries:
                raise self._down(fault)
            delay = delay_seconds(fault, num_retries)
            num_retries += 1
            if fault.halts:
                self.limit.halt(delay)
            else:
                await self._sleep(delay)

    async def served_models(self) -> list[str] | None:
        """The names of the models the endpoint lists; ``None`` if it lists none, as some servers do.

        Raises:
            Down: it cannot be reached, or refuses the key.
        """
        import httpx

        try:
            response = await self._client.get("models")
        except httpx.HTTPError as error:
            raise self._down(interruption(self._clean(_deepest_message(error)))) from error
        if response.status_code in (401, 403):
            raise self._down(self._refusal(response.status_code, response.text, response.headers))
        try:
            return [str(model["id"]) for model in response.json()["data"]] if response.is_success else None
        except (ValueError, TypeError, LookupError):
            return None

    async def aclose(self) -> None:
        """Close the connections; a later call opens new ones."""
        self.__dict__.pop("_chat", None)
        if (client := self.__dict__.pop("_client", None)) is not None:
            await client.aclose()

    async def _request(self, key: CallKey, messages: Messages, schema: Schema | None, quirks: Quirks) -> StreamedReply:
        """Send one request when the rate limit allows it. All requests are sent here."""
        self.num_open += 1
        try:
            async with self._slots:
                num_reserved = await self._wait_for_turn(messages)
                if self._stopping:
                    raise StoppingError("the call did not start because the run is being stopped")
                most = self._price.usage(_most_input_tokens(messages, schema, quirks), self.entry.max_tokens)
                number = await self._ledger.reserve(key, self.entry.title, most)
                began = time.monotonic()
                reply = await self._receive(messages, schema, quirks)
                reply.seconds = time.monotonic() - began
                await self._ledger.settle(number, reply.usage(messages, self._price), reply.ledger_note)
        finally:
            self.num_open -= 1
        if reply.reports_usage:
            self._num_answers += 1
            self._num_reply_tokens += reply.output_tokens
            self.limit.correct(num_reserved, reply.input_tokens + reply.output_tokens)
        elif not reply.num_pieces:
            self.limit.correct(num_reserved, 0)
        return reply

    async def _wait_for_turn(self, messages: Messages) -> float:
        """Wait until a request may be sent; returns the tokens reserved for it."""
        num_prompt = sum(len(text) for _, text in messages) / CHARACTERS_A_TOKEN
        num_reply = self._num_reply_tokens / self._num_answers if self._num_answers else _USUAL_REPLY_TOKENS
        num_reserved = num_prompt + min(num_reply, self.entry.max_tokens)
        if seconds := self.limit.reserve(num_reserved):
            await self._sleep(seconds)
        while seconds := self.limit.seconds_halted:
            await self._sleep(seconds)
        return num_reserved

    async def _receive(self, messages: Messages, schema: Schema | None, quirks: Quirks) -> StreamedReply:
        """One streamed request: the time limit applies to silence, not to the length of the reply."""
        import httpx

        from agents.llm.dialects import LostError, RefusedError, on_piece

        reply = StreamedReply()
        silence = self._settings.timeout_seconds
        fields = quirks.fields(self.entry, messages, schema)
        token = on_piece.set(reply.add)
        try:
            async with asyncio.timeout(silence) as limit:
                async for _ in self._chat.astream(list(quirks.messages(messages)), extra_body=fields):
                    limit.reschedule(asyncio.get_running_loop().time() + silence)
        except RefusedError as error:
            reply.fault = self._refusal(error.status, error.text, error.headers)
            reply.was_read = error.status >= 500
        except ReportedError as error:
            reply.fault = refusal(error.body.status, self._clean_body(error.body), {}, self.entry.key_variable)
        except NotACompletionError as error:
            reply.fault = not_a_completion(self._clean_body(error.body))
        except LostError as error:
            is_silence = isinstance(error.cause, httpx.TimeoutException)
            message = f"silent for {silence:g} seconds" if is_silence else self._clean(_deepest_message(error.cause))
            reply.fault = interruption(message)
            reply.was_read = not isinstance(error.cause, httpx.ConnectError | httpx.ConnectTimeout)
        except TimeoutError:
            reply.fault = interruption(f"silent for {silence:g} seconds")
        finally:
            on_piece.reset(token)
        return reply

    @functools.cached_property
    def _chat(self) -> ChatOpenAI:
        """LangChain's client. It sends only the model and the messages: other fields differ by endpoint."""
        import httpx
        from langchain_openai import ChatOpenAI
        from pydantic import SecretStr

        from agents.llm.dialects import DialectTransport

        return ChatOpenAI(
            model=self.entry.model,
            base_url=self.url,
            api_key=SecretStr(self._key or "none"),
            timeout=None,  # silence is measured in _receive
            max_retries=0,  # the client's own retries would spend without a reservation
            stream_chunk_timeout=None,
            stream_usage=False,
            use_responses_api=False,
            http_async_client=httpx.AsyncClient(transport=DialectTransport(self._client)),
            openai_proxy="",  # HTTPS_PROXY applies; OPENAI_PROXY would collide with our client
        )

    @functools.cached_property
    def _client(self) -> httpx.AsyncClient:
        import httpx

        async def apply_limits(response: httpx.Response) -> None:
            self.limit.apply_headers(response.headers)

        return httpx.AsyncClient(
            base_url=self.url,
            headers={"authorization": f"Bearer {self._key or 'none'}"},
            timeout=self._settings.timeout_seconds,
            follow_redirects=True,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=self.entry.concurrency),
            event_hooks={"response": [apply_limits]},
        )

    def _refusal(self, status: int, text: str, headers: httpx.Headers) -> Fault:
        headers.setdefault("date", formatdate(usegmt=True))
        return refusal(status, self._clean_body(read_error_text(text)), headers, self.entry.key_variable)

    def _clean_body(self, body: ErrorBody) -> ErrorBody:
        return replace(body, message=self._clean(body.message))

    def _clean(self, message: str) -> str:
        """An endpoint's message on one line, without the key, which some endpoints repeat."""
        line = " ".join(message.split())
        return line.replace(self._key, "…") if self._key else line

    def _down(self, fault: Fault) -> Down:
        what = fault.message if fault.kind is FaultKind.HOPELESS else f"does not answer: {fault.message}"
        return Down(f"endpoint {self.url} (model {self.entry.model}) {what}", fault.advice)


def _most_input_tokens(messages: Messages, schema: Schema | None, quirks: Quirks) -> int:
    """The most tokens a prompt can have; some endpoints count the schema as a part of it."""
    if schema is None or not quirks.takes_schema:
        return most_input_tokens(messages)
    return most_input_tokens((*messages, ("schema", json.dumps(schema))))


def _deepest_message(error: BaseException) -> str:
    """The message of the first cause: the client's own says only that the connection failed."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return str(error) or type(error).__name__


def _check_url(entry: ModelEntry) -> None:
    url = entry.base_url
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and parts.hostname is not None
    except ValueError:
        is_usable = False
    if url and not is_usable:
        raise SettingsError(
            f"--llm.base-url: expected a URL such as http://localhost:8000/v1 for {entry.title}, found {url!r}"
        )
