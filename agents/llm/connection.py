"""One endpoint: a request in, an answer out, no faster than it may be asked. Passing faults are waited out.

==========================================================  =========================================================
the endpoint                                                what follows
==========================================================  =========================================================
5xx, timeout, refused, no completion (a web page)           tried again up to ``max_retries``, else :class:`Down`
429                                                         the same, and nothing else is sent until then
a field is refused, or the system role                      asked again without, see :mod:`agents.llm.quirks`
the prompt is too long                                      an answer of finish ``context``
401, 403, 404, other 4xx, no quota                          :class:`Down` at once
==========================================================  =========================================================
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agents.llm.decoding import NotACompletionError, ReportedError
from agents.llm.faults import Fault, FaultKind, delay_seconds, interruption, not_a_completion, refusal
from agents.llm.quirks import Quirks, Schema
from agents.llm.rates import RateLimit
from agents.llm.streamed_reply import Reception
from fairnad.error_bodies import ErrorBody, read_error_text
from fairnad.errors import SettingsError, StoppingError
from fairnad.ports import Answer, CallKey, Ledger
from fairnad.records.prices import most_input_tokens, price_of
from fairnad.settings.model_entries import ModelEntry
from fairnad.settings.search_settings import LanguageModelSettings
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
    """An endpoint does not answer, or refuses; ``fault`` names it and says why, ``advice`` what to do, if anything."""

    def __init__(self, fault: str, advice: str) -> None:
        super().__init__(f"{fault}: {advice}" if advice else fault)
        self.fault = fault
        self.advice = advice


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
        self._quirks = Quirks.expected(entry)
        self._num_answers = 0
        self._num_reply_tokens = 0
        self.num_open = 0

    def stop(self) -> None:
        """Begin no new request; what is under way goes on."""
        self._stopping = True

    @property
    def url(self) -> str:
        """Where requests go."""
        return (self.entry.base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI_URL).rstrip("/")

    @property
    def quirks(self) -> Quirks:
        """What is known of the endpoint by now."""
        return self._quirks

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
        schema = schema if self.entry.json_schema != "off" else None
        num_retries = 0
        while True:
            quirks = self._quirks
            reception, seconds = await self._request(key, sent, schema, quirks)
            fault = reception.fault
            if fault is not None and not reception.num_pieces:
                sent_schema = schema is not None and self.entry.json_schema == "auto"
                lesson = quirks.learn(fault, self.entry, sent, sent_schema=sent_schema)
                if lesson is not None:
                    self._quirks = replace(self._quirks, **lesson.changes)
                if lesson is not None and lesson.asks_again:
                    continue
            if fault is None or reception.is_answer:
                answer = reception.answer(key.role, self.entry.title, sent, seconds, self._price)
                max_tokens = quirks.max_tokens(self.entry, sent)
                return replace(answer, messages=messages, temperature=self.entry.temperature, max_tokens=max_tokens)
            if fault.kind is FaultKind.HOPELESS or num_retries >= left:
                raise self._down(fault)
            delay = delay_seconds(fault, num_retries)
            num_retries += 1
            if fault.halts:
                self._limit.halt(delay)
            else:
                await self._sleep(delay)

    async def _request(
        self, key: CallKey, messages: Messages, schema: Schema | None, quirks: Quirks
    ) -> tuple[Reception, float]:
        """One request when its turn has come: (what arrives, the seconds it took). Every request passes here."""
        self.num_open += 1
        try:
            async with self._slots:
                num_reserved = await self._wait_for_turn(messages)
                if self._stopping:
                    raise StoppingError("the call was not begun because the run is being stopped")
                most = self._price.usage(_most_input_tokens(messages, schema, quirks), self.entry.max_tokens)
                number = await self._ledger.reserve(key, self.entry.title, most)
                began = time.monotonic()
                reception = await self._receive(messages, schema, quirks)
                seconds = time.monotonic() - began
                await self._ledger.settle(number, reception.usage(messages, self._price), reception.settled_note)
        finally:
            self.num_open -= 1
        self._account(reception, num_reserved)
        return reception, seconds

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
            self._num_reply_tokens += reception.counted_output
            self._limit.correct(num_reserved, reception.counted_input + reception.counted_output)
        elif not reception.num_pieces:
            self._limit.correct(num_reserved, 0)

    async def served_models(self) -> list[str] | None:
        """The names of the models the endpoint lists; ``None`` where it lists none, as some servers do.

        Raises:
            Down: it cannot be reached, or refuses the key.
        """
        import httpx

        try:
            response = await self._client.get("models")
        except httpx.HTTPError as error:
            raise self._down(interruption(self._said(_first_cause(error)))) from error
        if response.status_code in (401, 403):
            raise self._down(self._refusal(response.status_code, response.text, response.headers))
        try:
            return [str(model["id"]) for model in response.json()["data"]] if response.is_success else None
        except (ValueError, TypeError, LookupError):
            return None

    async def aclose(self) -> None:
        """Close the connections; a later call opens new ones."""
        self.__dict__.pop("_chat", None)
        if "_client" in self.__dict__:
            await self._client.aclose()
            del self.__dict__["_client"]

    async def _receive(self, messages: Messages, schema: Schema | None, quirks: Quirks) -> Reception:
        """One request. Its answer is streamed, so that only silence, not length, runs into the time limit."""
        import httpx

        from agents.llm.dialects import LostError, RefusedError, on_piece

        reception = Reception()
        silence = self._settings.timeout_seconds
        fields = quirks.fields(self.entry, messages, schema)
        telling = on_piece.set(reception.add)
        try:
            async with asyncio.timeout(silence) as limit:
                async for _ in self._chat.astream(list(quirks.messages(messages)), extra_body=fields):
                    limit.reschedule(asyncio.get_running_loop().time() + silence)
        except RefusedError as error:
            reception.fault = self._refusal(error.status, error.text, error.headers)
            reception.was_read = error.status >= 500
        except ReportedError as error:
            reception.fault = refusal(error.body.status, self._worded(error.body), {}, self.entry.key_variable)
        except NotACompletionError as error:
            reception.fault = not_a_completion(self._worded(error.body))
        except LostError as error:
            is_silence = isinstance(error.cause, httpx.TimeoutException)
            said = f"silent for {silence:g} seconds" if is_silence else self._said(_first_cause(error.cause))
            reception.fault = interruption(said)
            reception.was_read = not isinstance(error.cause, httpx.ConnectError | httpx.ConnectTimeout)
        except TimeoutError:
            reception.fault = interruption(f"silent for {silence:g} seconds")
        finally:
            on_piece.reset(telling)
        return reception

    def _refusal(self, status: int, text: str, headers: httpx.Headers) -> Fault:
        headers.setdefault("date", formatdate(usegmt=True))
        return refusal(status, self._worded(read_error_text(text)), headers, self.entry.key_variable)

    @functools.cached_property
    def _chat(self) -> ChatOpenAI:
        """LangChain's client, which knows of no field but the model and the messages: the others differ by endpoint."""
        import httpx
        from langchain_openai import ChatOpenAI
        from pydantic import SecretStr

        from agents.llm.dialects import DialectTransport

        return ChatOpenAI(
            model=self.entry.model,
            base_url=self.url,
            api_key=SecretStr(self._key or "none"),
            timeout=None,  # silence is measured where the answer is read
            max_retries=0,  # retries are counted here; the client's own would multiply them
            stream_chunk_timeout=None,
            stream_usage=False,
            use_responses_api=False,
            http_async_client=httpx.AsyncClient(transport=DialectTransport(self._client)),
            openai_proxy="",  # HTTPS_PROXY and the like hold; OPENAI_PROXY would collide with a client of one's own
        )

    @functools.cached_property
    def _client(self) -> httpx.AsyncClient:
        import httpx

        return httpx.AsyncClient(
            base_url=self.url,
            headers={"authorization": f"Bearer {self._key or 'none'}"},
            timeout=self._settings.timeout_seconds,
            follow_redirects=True,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=self.entry.concurrency),
            event_hooks={"response": [self._heed]},
        )

    async def _heed(self, response: httpx.Response) -> None:
        self._limit.heed(response.headers)

    def _worded(self, body: ErrorBody) -> ErrorBody:
        return replace(body, message=self._said(body.message))

    def _said(self, message: str) -> str:
        """The words of an endpoint on one line, without the key, which some repeat."""
        line = " ".join(message.split())
        return line.replace(self._key, "…") if self._key else line

    def _down(self, fault: Fault) -> Down:
        what = fault.message if fault.kind is FaultKind.HOPELESS else f"does not answer: {fault.message}"
        return Down(f"endpoint {self.url} (model {self.entry.model}) {what}", fault.advice)


def _most_input_tokens(messages: Messages, schema: Schema | None, quirks: Quirks) -> int:
    """What a prompt can have at most; some endpoints count the schema as a part of it."""
    if schema is None or not quirks.takes_schema:
        return most_input_tokens(messages)
    return most_input_tokens((*messages, ("schema", json.dumps(schema))))


def _first_cause(error: BaseException) -> str:
    """What the error at the bottom says: the client's own says no more than that the connection failed."""
    deepest = list(_causes(error))[-1]
    return str(deepest) or type(deepest).__name__


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
