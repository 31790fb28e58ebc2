"""The one client of every language-model role: a messy endpoint in, an answer or a failure out.

What an endpoint answers is stored before it is used, broken and empty answers too, so that a resumed run repeats no
answered call and decides as the first one did. What it cannot answer is tried again, and in the end stops the
search: nothing is lost, and the run can be resumed.

==========================================================  =========================================================
the endpoint                                                what follows
==========================================================  =========================================================
answers                                                     the text, without ``<think>…</think>``
stops at the token limit                                    asked once to go on, else failure ``truncated``
thinks until the token limit                                failure ``truncated``
answers nothing                                             asked once more, else failure ``reply``
breaks an answer off: stream cut, no choices, garbage       asked again up to ``max_retries``, else failure ``reply``
finds the prompt too long                                   shortened as far as the role can, else failure ``context``
429, 5xx, timeout, refused, no completion (a web page)      tried again up to ``max_retries``, else ``EndpointError``
401, 403, 404, other 4xx, no quota                          ``EndpointError`` at once
==========================================================  =========================================================
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import itertools
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agents.faults import Fault, FaultKind, backoff_seconds, delay_seconds, interruption, not_a_completion, refusal
from agents.reception import BROKEN, CONTEXT, Reception, failure, is_cut, is_empty
from agents.replies import join_replies
from fairnad.candidate import Failure, Step
from fairnad.errors import EndpointError, SettingsError, StoppingError
from fairnad.ledger import UNLIMITED
from fairnad.ports import Answer, CallKey, CallLog, Errand, Ledger
from fairnad.prices import most_input_tokens, prices
from fairnad.settings import LanguageModelSettings
from prompts.loader import continuation
from prompts.templates import Messages

if TYPE_CHECKING:
    import openai
    from langchain_openai import ChatOpenAI

RESUME_ADVICE = "; nothing is lost; run the same command again to resume"
"""How the message of every :class:`~fairnad.errors.EndpointError` ends."""

_MESSAGE_CHARACTERS = 300
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError)
"""What langchain-openai raises on a chunk, or a body, that is not what the protocol says."""

Ask = Callable[[Messages, float], Awaitable[Answer]]
"""One numbered call: the stored answer, or a fresh one after so many seconds."""


class LanguageModel:
    """A language model behind an OpenAI-compatible endpoint."""

    def __init__(
        self,
        settings: LanguageModelSettings,
        log: CallLog,
        *,
        ledger: Ledger = UNLIMITED,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Set the client up; nothing is sent yet.

        Args:
            ledger: is asked before each request, and told what it has cost.
            sleep: how delays between tries are spent.

        Raises:
            SettingsError: the base URL is none.
        """
        _check_url(settings.base_url)
        self._settings = settings
        self._log = log
        self._ledger = ledger
        self._price = prices(settings)[settings.model]
        self._sleep = sleep
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._key = os.environ.get("OPENAI_API_KEY", "")
        self._stopping = False

    def stop(self) -> None:
        """Begin no new call; what is under way goes on."""
        self._stopping = True

    async def complete(
        self,
        role: str,
        errand: Errand,
        messages: Messages,
        *,
        step: Step,
        shorten: Callable[[int], Messages | None] | None = None,
    ) -> Answer | Failure:
        """The model's answer to ``messages``, or why there is none; see the module for what is mended on the way.

        Args:
            role: names the call together with the errand; one errand asks a role once.
            step: the step a failure is reported for.
            shorten: gives the messages with the n least needed parts left out, n from 1; ``None`` when no more can.

        Returns:
            The answer with its whole text, also where it took several calls.

        Raises:
            EndpointError: the endpoint is gone for good, or refuses the key, the model or the request.
        """
        ask = functools.partial(self._ask, role, errand, itertools.count())
        answer = await self._ask_unbroken(ask, messages)
        for num_left_out in itertools.count(1):
            shorter = shorten(num_left_out) if shorten and answer.finish == CONTEXT else None
            if shorter is None:
                break
            answer = await self._ask_unbroken(ask, shorter)
        if is_empty(answer):
            answer = await self._ask_unbroken(ask, answer.messages)
        if is_cut(answer):
            answer = await self._go_on(ask, answer)
        return failure(answer, step, self._settings.max_tokens) or answer

    @property
    def url(self) -> str:
        """Where requests go."""
        return str(self._chat.root_async_client.base_url).rstrip("/")

    async def served_models(self) -> list[str] | None:
        """The names of the models the endpoint lists; ``None`` where it lists none, as some servers do.

        Raises:
            EndpointError: it cannot be reached, or refuses the key.
        """
        import openai

        try:
            page = await self._chat.root_async_client.models.list()
            return [str(model.id) for model in page.data]
        except openai.APIStatusError as error:
            if error.status_code in (401, 403):
                raise self._gone(self._refusal(error)) from error
            return None
        except openai.APIError as error:
            raise self._gone(interruption(self._said(_first_cause(error)))) from error
        except _UNREADABLE:
            return None

    async def aclose(self) -> None:
        """Close the connections; a later call opens new ones."""
        if "_chat" in self.__dict__:
            await self._chat.root_async_client.close()
            del self.__dict__["_chat"]

    async def _ask_unbroken(self, ask: Ask, messages: Messages) -> Answer:
        """The answer to ``messages``; a broken one only after every retry broke too."""
        answer = await ask(messages, 0.0)
        for num_retries in range(self._settings.max_retries):
            if answer.finish != BROKEN:
                break
            answer = await ask(messages, backoff_seconds(num_retries))
        return answer

    async def _go_on(self, ask: Ask, answer: Answer) -> Answer:
        """An answer that was cut off, with its continuation; still of finish ``length`` where there is none."""
        messages = (*answer.messages, ("assistant", answer.text), ("user", continuation()))
        rest = await self._ask_unbroken(ask, messages)
        if rest.finish in (CONTEXT, BROKEN):
            return answer
        return replace(rest, messages=answer.messages, text=join_replies(answer.text, rest.text))

    async def _ask(
        self, role: str, errand: Errand, parts: Iterator[int], messages: Messages, after_seconds: float
    ) -> Answer:
        """The stored answer of one call, or a fresh one, which is stored first."""
        digest = hashlib.sha256(json.dumps(messages).encode()).hexdigest()[:16]
        key = CallKey(errand.candidate_id, role, errand.version, next(parts), digest)
        answer = await asyncio.to_thread(self._log.find_answer, key)
        if answer is None:
            if after_seconds:
                await self._sleep(after_seconds)
            answer = await self._fetch(key, messages)
            await asyncio.to_thread(self._log.add_answer, key, answer)
        return answer

    async def _fetch(self, key: CallKey, messages: Messages) -> Answer:
        """What the endpoint answers; passing faults are waited out."""
        for num_retries in itertools.count():
            async with self._slots:
                if self._stopping:
                    raise StoppingError("the call was not begun because the run is being stopped")
                most = self._price.usage(most_input_tokens(messages), self._settings.max_tokens)
                number = await self._ledger.reserve(key, self._settings.model, most)
                began = time.monotonic()
                reception = await self._receive(messages)
                seconds = time.monotonic() - began
                await self._ledger.settle(number, reception.usage(messages, self._price), reception.settled_note)
            fault = reception.fault
            if fault is None or reception.is_answer:
                break
            if fault.kind is FaultKind.HOPELESS or num_retries == self._settings.max_retries:
                raise self._gone(fault)
            await self._sleep(delay_seconds(fault, num_retries))
        answer = reception.answer(key.role, self._settings.model, messages, seconds, self._price)
        return replace(answer, temperature=self._settings.temperature, max_tokens=self._settings.max_tokens)

    async def _receive(self, messages: Messages) -> Reception:
        """One request. Its answer is streamed, so that only silence, not length, runs into the time limit."""
        import openai

        chat = self._chat
        reception = Reception()
        silence = self._settings.timeout_seconds
        try:
            async with asyncio.timeout(silence) as limit:
                async for chunk in chat.astream(list(messages)):
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
        return refusal(error.status_code, self._said(message), str(body.get("code") or ""), error.response.headers)

    @functools.cached_property
    def _chat(self) -> ChatOpenAI:
        from langchain_openai import ChatOpenAI
        from openai import DefaultAsyncHttpxClient
        from pydantic import SecretStr

        settings = self._settings
        # Local servers know the limit by its older name only, and generate without end where they miss it; OpenAI's
        # own newer models refuse the older name.
        limit: dict[str, Any] = {"extra_body": {"max_tokens": settings.max_tokens}}
        if not settings.base_url:
            limit = {"max_tokens": settings.max_tokens}
        return ChatOpenAI(
            model=settings.model,
            base_url=settings.base_url or None,
            api_key=SecretStr(self._key or "none"),
            temperature=settings.temperature,
            timeout=settings.timeout_seconds,
            max_retries=0,  # retries are counted here; the client's own would multiply them
            stream_usage=True,
            stream_chunk_timeout=None,
            use_responses_api=False,
            http_async_client=DefaultAsyncHttpxClient(),  # not shared with other clients, so that it can be closed
            openai_proxy="",  # HTTPS_PROXY and the like hold; OPENAI_PROXY would collide with a client of one's own
            **limit,
        )

    def _said(self, message: str) -> str:
        """The words of an endpoint on one line, without the key, which some repeat."""
        line = " ".join(message.split())
        return (line.replace(self._key, "…") if self._key else line)[:_MESSAGE_CHARACTERS]

    def _gone(self, fault: Fault) -> EndpointError:
        what = fault.message if fault.kind is FaultKind.HOPELESS else f"does not answer: {fault.message}"
        advice = f": {fault.advice}" if fault.advice else ""
        return EndpointError(f"endpoint {self.url} (model {self._settings.model}) {what}{advice}{RESUME_ADVICE}")


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


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname is not None
    except ValueError:
        usable = False
    if url and not usable:
        raise SettingsError(f"--llm.base-url: expected a URL such as http://localhost:8000/v1, found {url!r}")
