"""One endpoint: a request in, an answer out, no faster than it may be asked. Passing faults are waited out.

==========================================================  =========================================================
the endpoint                                                what follows
==========================================================  =========================================================
5xx, timeout, refused, no completion (a web page)           tried again up to ``max_retries``, else :class:`Down`
429                                                         the same, and nothing else is sent until then
a JSON schema is refused                                    asked again without, and never with one again
401, 403, 404, other 4xx, no quota                          :class:`Down` at once
==========================================================  =========================================================
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agents.faults import Fault, FaultKind, delay_seconds, interruption, not_a_completion, refusal
from agents.rates import RateLimit
from agents.reception import Reception
from fairnad.errors import SettingsError, StoppingError
from fairnad.model_entries import ModelEntry
from fairnad.ports import Answer, CallKey, Ledger
from fairnad.prices import most_input_tokens, price_of
from fairnad.settings import LanguageModelSettings
from prompts.json_form import with_json_form
from prompts.templates import Messages

if TYPE_CHECKING:
    import httpx
    import openai
    from langchain_openai import ChatOpenAI

Schema = Mapping[str, Any]
"""The JSON schema of a reply that is data."""

CHARACTERS_A_TOKEN = 3
_USUAL_REPLY_TOKENS = 1024
"""Reserved for a reply until the endpoint's own replies are known."""
_MESSAGE_CHARACTERS = 300
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError)
"""What langchain-openai raises on a chunk, or a body, that is not what the protocol says."""


class Down(Exception):
    """An endpoint does not answer, or refuses; the message names it and says why, and what to do."""


class Connection:
    """A language model at one OpenAI-compatible endpoint."""

    def __init__(
        self,
        entry: ModelEntry,
        settings: LanguageModelSettings,
        ledger: Ledger,
        sleep: Callable[[float], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        """Set the client up; nothing is sent yet.

        Args:
            settings: what holds for every endpoint: retries, and the time limit of silence.
            ledger: is asked before each request, and told what it has cost.
            sleep: how delays between requests are spent.
            clock: the seconds delays are measured by.

        Raises:
            SettingsError: the base URL is none.
        """
        _check_url(entry)
        self.entry = entry
        self._settings = settings
        self._ledger = ledger
        self._price = price_of(entry)
        self._sleep = sleep
        self._slots = asyncio.Semaphore(entry.concurrency)
        self._key = os.environ.get(entry.key_variable, "")
        self._stopping = False
        self._limit = RateLimit(entry.requests_per_minute, entry.tokens_per_minute, clock)
        self._sends_schema = entry.json_schema != "off"
        self._num_answers = 0
        self._num_reply_tokens = 0
        self.num_open = 0

    def stop(self) -> None:
        """Begin no new request; what is under way goes on."""
        self._stopping = True

    @property
    def url(self) -> str:
        """Where requests go."""
        return str(self._chat.root_async_client.base_url).rstrip("/")

    @property
    def seconds_halted(self) -> float:
        """How long nothing may be sent, because the endpoint asked for that."""
        return self._limit.seconds_halted

    async def fetch(
        self, key: CallKey, messages: Messages, schema: Schema | None = None, *, max_retries: int | None = None
    ) -> Answer:
        """What the endpoint answers; passing faults are waited out.

        Args:
            schema: the form of a reply that is data.
            max_retries: other than in the settings.

        Raises:
            Down: it does not answer, or refuses the key, the model or the request.
            StoppingError: the run is being stopped.
        """
        left = self._settings.max_retries if max_retries is None else max_retries
        sent = messages if schema is None else with_json_form(messages, schema)
        num_retries = 0
        while True:
            sends_schema = self._sends_schema
            reception, seconds = await self._request(key, sent, schema)
            fault = reception.fault
            if fault is None or reception.is_answer:
                answer = reception.answer(key.role, self.entry.title, sent, seconds, self._price)
                entry = self.entry
                return replace(answer, messages=messages, temperature=entry.temperature, max_tokens=entry.max_tokens)
            if fault.is_of_schema and sends_schema and schema is not None and self.entry.json_schema == "auto":
                self._sends_schema = False
                continue
            if fault.kind is FaultKind.HOPELESS or num_retries >= left:
                raise self._down(fault)
            delay = delay_seconds(fault, num_retries)
            num_retries += 1
            if fault.halts:
                self._limit.halt(delay)
            else:
                await self._sleep(delay)

    async def _request(self, key: CallKey, messages: Messages, schema: Schema | None) -> tuple[Reception, float]:
        """One request when its turn has come: (what arrives, the seconds it took). Every request passes here."""
        self.num_open += 1
        try:
            async with self._slots:
                num_reserved = await self._wait_for_turn(messages)
                if self._stopping:
                    raise StoppingError("the call was not begun because the run is being stopped")
                most = self._price.usage(self._most_input_tokens(messages, schema), self.entry.max_tokens)
                number = await self._ledger.reserve(key, self.entry.title, most)
                began = time.monotonic()
                reception = await self._receive(messages, schema)
                seconds = time.monotonic() - began
                await self._ledger.settle(number, reception.usage(messages, self._price), reception.settled_note)
        finally:
            self.num_open -= 1
        self._account(reception, num_reserved)
        return reception, seconds

    def _most_input_tokens(self, messages: Messages, schema: Schema | None) -> int:
        """What a prompt can have at most; some endpoints count the schema as a part of it."""
        if schema is None or not self._sends_schema:
            return most_input_tokens(messages)
        return most_input_tokens((*messages, ("schema", json.dumps(schema))))

    async def _wait_for_turn(self, messages: Messages) -> float:
        """Wait until a request may be sent; the tokens that were reserved for it."""
        num_prompt = sum(len(text) for _, text in messages) / CHARACTERS_A_TOKEN
        num_reply = self._num_reply_tokens / self._num_answers if self._num_answers else _USUAL_REPLY_TOKENS
        num_reserved = num_prompt + min(num_reply, self.entry.max_tokens)
        if seconds := self._limit.reserve(num_reserved):
            await self._sleep(seconds)
        while seconds := self._limit.seconds_halted:
            await self._sleep(seconds)
        return num_reserved

    def _account(self, reception: Reception, num_reserved: float) -> None:
        """Correct what was reserved by what was spent, as far as that is known."""
        if reception.reports_usage:
            self._num_answers += 1
            self._num_reply_tokens += reception.output_tokens
            self._limit.correct(num_reserved, reception.input_tokens + reception.output_tokens)
        elif not reception.num_chunks:
            self._limit.correct(num_reserved, 0)

    async def served_models(self) -> list[str] | None:
        """The names of the models the endpoint lists; ``None`` where it lists none, as some servers do.

        Raises:
            Down: it cannot be reached, or refuses the key.
        """
        import openai

        try:
            page = await self._chat.root_async_client.models.list()
            return [str(model.id) for model in page.data]
        except openai.APIStatusError as error:
            if error.status_code in (401, 403):
                raise self._down(self._refusal(error)) from error
            return None
        except openai.APIError as error:
            raise self._down(interruption(self._said(_first_cause(error)))) from error
        except _UNREADABLE:
            return None

    async def aclose(self) -> None:
        """Close the connections; a later call opens new ones."""
        if "_chat" in self.__dict__:
            await self._chat.root_async_client.close()
            del self.__dict__["_chat"]

    async def _receive(self, messages: Messages, schema: Schema | None) -> Reception:
        """One request. Its answer is streamed, so that only silence, not length, runs into the time limit."""
        import openai

        chat = self._chat
        reception = Reception()
        silence = self._settings.timeout_seconds
        body = self._body(schema if self._sends_schema else None)
        try:
            async with asyncio.timeout(silence) as limit:
                async for chunk in chat.astream(list(messages), extra_body=body):
                    reception.add(chunk)
                    limit.reschedule(asyncio.get_running_loop().time() + silence)
        except openai.APIStatusError as error:
            reception.fault = self._refusal(error)
            reception.was_read = error.status_code >= 500
        except (TimeoutError, openai.APITimeoutError) as error:
            reception.fault = interruption(f"silent for {silence:g} seconds")
            reception.was_read = not _never_arrived(error)
        except openai.APIError as error:
            reception.fault = interruption(self._said(_first_cause(error)))
            reception.was_read = not _never_arrived(error)
        except _UNREADABLE as error:
            reception.fault = not_a_completion(self._said(str(error)))
        return reception

    def _refusal(self, error: openai.APIStatusError) -> Fault:
        body = error.body if isinstance(error.body, dict) else {}
        message = str(body.get("message") or error.message).removeprefix(f"Error code: {error.status_code} - ")
        return refusal(
            error.status_code,
            self._said(message),
            str(body.get("code") or ""),
            error.response.headers,
            self.entry.key_variable,
        )

    @functools.cached_property
    def _chat(self) -> ChatOpenAI:
        from langchain_openai import ChatOpenAI
        from openai import DefaultAsyncHttpxClient
        from pydantic import SecretStr

        entry = self.entry
        return ChatOpenAI(
            model=entry.model,
            base_url=entry.base_url or None,
            api_key=SecretStr(self._key or "none"),
            temperature=entry.temperature,
            timeout=self._settings.timeout_seconds,
            max_retries=0,  # retries are counted here; the client's own would multiply them
            stream_usage=True,
            stream_chunk_timeout=None,
            use_responses_api=False,
            # Not shared with other clients, so that it can be closed.
            http_async_client=DefaultAsyncHttpxClient(event_hooks={"response": [self._heed]}),
            openai_proxy="",  # HTTPS_PROXY and the like hold; OPENAI_PROXY would collide with a client of one's own
            max_tokens=None if entry.base_url else entry.max_tokens,
        )

    async def _heed(self, response: httpx.Response) -> None:
        self._limit.heed(response.headers)

    def _body(self, schema: Schema | None) -> dict[str, Any]:
        """What a request holds beyond what the client knows of.

        A form asked for here, not by the client's own argument, leaves a reply that does not keep to it readable.
        """
        # Local servers know the limit by its older name only, and generate without end where they miss it; OpenAI's
        # own newer models refuse the older name.
        body: dict[str, Any] = {"max_tokens": self.entry.max_tokens} if self.entry.base_url else {}
        if schema is not None:
            form = {"name": "reply", "schema": dict(schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        return body | self.entry.extra_body

    def _said(self, message: str) -> str:
        """The words of an endpoint on one line, without the key, which some repeat."""
        line = " ".join(message.split())
        return (line.replace(self._key, "…") if self._key else line)[:_MESSAGE_CHARACTERS]

    def _down(self, fault: Fault) -> Down:
        what = fault.message if fault.kind is FaultKind.HOPELESS else f"does not answer: {fault.message}"
        advice = f": {fault.advice}" if fault.advice else ""
        return Down(f"endpoint {self.url} (model {self.entry.model}) {what}{advice}")


def _first_cause(error: BaseException) -> str:
    """What the error at the bottom says: the client's own says no more than that the connection failed."""
    deepest = list(_causes(error))[-1]
    return str(deepest) or type(deepest).__name__


def _never_arrived(error: BaseException) -> bool:
    """Whether no connection came about, so that the endpoint knows nothing of the request."""
    # By name: which HTTP library the client brings along differs between its versions.
    return any(type(cause).__name__ in ("ConnectError", "ConnectTimeout") for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and those it came of, down to the first."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _check_url(entry: ModelEntry) -> None:
    url = entry.base_url
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname is not None
    except ValueError:
        usable = False
    if url and not usable:
        raise SettingsError(
            f"--llm.base-url: expected a URL such as http://localhost:8000/v1 for {entry.title}, found {url!r}"
        )
