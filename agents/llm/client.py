"""The one client of every language-model role: a messy endpoint in, an answer or a failure out.

What an endpoint answers is stored before it is used, broken and empty answers too, so that a resumed run repeats no
answered call and decides as the first one did. What it cannot answer is tried again, and in the end stops the
search: nothing is lost, and the run can be resumed.

==========================================================  =========================================================
the endpoint                                                what follows
==========================================================  =========================================================
answers                                                     the text, without ``<think>…</think>``
stops at the token limit                                    asked to go on up to three times, else ``truncated``
thinks until the token limit                                failure ``truncated``
answers nothing                                             asked once more, else failure ``reply``
breaks an answer off: stream cut, no choices, garbage       asked again up to ``max_retries``, else failure ``reply``
finds the prompt too long                                   shortened as far as the role can, else failure ``context``
does not answer, or refuses                                 see :mod:`.connection` and :mod:`.model_pool`
==========================================================  =========================================================
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from agents.llm.connection import Connection
from agents.llm.faults import backoff_seconds
from agents.llm.model_pool import ModelPool
from agents.llm.quirks import Schema
from agents.llm.streamed_reply import BROKEN, CONTEXT, failure, is_cut, is_empty
from agents.replies.source_replies import join_replies, repeats_itself
from fairnad.ports import Answer, CallKey, CallLog, Errand, Ledger
from fairnad.records.candidate import Failure, Step
from fairnad.records.spending import UNLIMITED
from fairnad.settings.search_settings import LanguageModelSettings
from prompts.loader import continuation
from prompts.templates import Messages

Ask = Callable[[Messages, float], Awaitable[Answer]]
"""One numbered call: the stored answer, or a fresh one after so many seconds."""

_MOST_CONTINUATIONS = 3


class LanguageModel:
    """The language models of the settings, each behind an OpenAI-compatible endpoint."""

    def __init__(
        self,
        settings: LanguageModelSettings,
        log: CallLog,
        *,
        ledger: Ledger = UNLIMITED,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set the clients up; nothing is sent yet.

        Args:
            ledger: is asked before each request, and told what it has cost.
            sleep: how delays between requests are spent.
            clock: the seconds delays are measured by.

        Raises:
            SettingsError: the base URL is none.
        """
        self._settings = settings
        self._log = log
        self._sleep = sleep
        self._pool = ModelPool(settings, ledger=ledger, sleep=sleep, clock=clock)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Every model at every endpoint, in the order of the settings."""
        return self._pool.connections

    def stop(self) -> None:
        """Begin no new call; what is under way goes on."""
        self._pool.stop()

    async def complete(
        self,
        role: str,
        errand: Errand,
        messages: Messages,
        *,
        step: Step,
        shorten: Callable[[int], Messages | None] | None = None,
        schema: Schema | None = None,
    ) -> Answer | Failure:
        """The model's answer to ``messages``, or why there is none; see the module for what is mended on the way.

        Args:
            role: names the call together with the errand; one errand asks a role once.
            step: the step a failure is reported for.
            shorten: gives the messages with the n least needed parts left out, n from 1; ``None`` when no more can.

            schema: the form of a reply that is data. A reply may keep to another all the same: an endpoint need not
                know of schemas, and a pack may ask for its own form.

        Returns:
            The answer with its whole text, also where it took several calls.

        Raises:
            EndpointError: the endpoint is gone for good, or refuses the key, the model or the request.
        """
        parts = itertools.count()
        ask = functools.partial(self._ask, role, errand, parts, schema)
        answer = await self._ask_unbroken(ask, messages)
        for num_left_out in itertools.count(1):
            shorter = shorten(num_left_out) if shorten and answer.finish == CONTEXT else None
            if shorter is None:
                break
            answer = await self._ask_unbroken(ask, shorter)
        if is_empty(answer):
            answer = await self._ask_unbroken(ask, answer.messages)
        if is_cut(answer):
            # A reply that keeps to a schema from its first character can be no continuation.
            answer = await self._go_on(functools.partial(self._ask, role, errand, parts, None), answer)
        return failure(answer, step) or answer

    async def aclose(self) -> None:
        """Close the connections; a later call opens new ones."""
        await self._pool.aclose()

    async def _ask_unbroken(self, ask: Ask, messages: Messages) -> Answer:
        """The answer to ``messages``; a broken one only after every retry broke too."""
        answer = await ask(messages, 0.0)
        for num_retries in range(self._settings.max_retries):
            if answer.finish != BROKEN:
                break
            answer = await ask(messages, backoff_seconds(num_retries))
        return answer

    async def _go_on(self, ask: Ask, answer: Answer) -> Answer:
        """An answer that was cut off, with its continuations; still of finish ``length`` where they do not end it.

        A reply that goes round in circles is not continued.
        """
        for _ in range(_MOST_CONTINUATIONS):
            if repeats_itself(answer.text):
                break
            messages = (*answer.messages, ("assistant", answer.text), ("user", continuation()))
            rest = await self._ask_unbroken(ask, messages)
            if rest.finish in (CONTEXT, BROKEN):
                break
            before = answer.text
            answer = replace(rest, messages=answer.messages, text=join_replies(before, rest.text))
            if not is_cut(answer) or answer.text == before:
                break
        return answer

    async def _ask(
        self,
        role: str,
        errand: Errand,
        parts: Iterator[int],
        schema: Schema | None,
        messages: Messages,
        after_seconds: float,
    ) -> Answer:
        """The stored answer of one call, or a fresh one, which is stored first."""
        digest = hashlib.sha256(json.dumps(messages).encode()).hexdigest()[:16]
        key = CallKey(errand.candidate_id, role, errand.version, next(parts), digest)
        answer = await asyncio.to_thread(self._log.find_answer, key)
        if answer is None:
            if after_seconds:
                await self._sleep(after_seconds)
            answer = await self._pool.fetch(key, errand, messages, schema)
            await asyncio.to_thread(self._log.add_answer, key, answer)
        return answer
