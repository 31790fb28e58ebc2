"""The client of every language-model role: a call becomes an answer or a failure.

Each answer is stored before it is used, including broken and empty ones, so that a resumed run repeats no answered call
and decides as before. If no endpoint answers, the search stops and can be resumed.

==========================================================  =========================================================
the endpoint                                                what follows
==========================================================  =========================================================
answers                                                     the text, without ``<think>…</think>``
stops at the token limit                                    continued up to three times, else failure ``truncated``
reasons until the token limit                               failure ``truncated``
answers nothing                                             asked once more, else failure ``reply``
breaks off an answer: stream cut, no choices, garbage       asked again up to ``max_retries``, else failure ``broken``
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
from dataclasses import dataclass, field, replace

from agents.llm.faults import backoff_seconds
from agents.llm.model_pool import ModelPool
from agents.llm.streamed_reply import BROKEN, CONTEXT, find_failure, is_cut, is_empty
from agents.replies.reply_schemas import Schema
from agents.replies.source_replies import join_replies, repeats_itself
from fairnad.ports import Answer, CallContext, CallKey, CallLog, Ledger
from fairnad.records.candidate import Failure, Step
from fairnad.records.spending import UNLIMITED
from fairnad.settings.model_entries import LanguageModelSettings
from prompts.loader import continuation
from prompts.templates import Messages

Ask = Callable[[Messages, float], Awaitable[Answer]]
"""One numbered call: the stored answer, or a fresh one after that many seconds."""

_MOST_CONTINUATIONS = 3


@dataclass
class CallMemory:
    """A :class:`fairnad.ports.CallLog` for calls that belong to no run; ``answers`` are kept in their order."""

    answers: list[Answer] = field(default_factory=list)

    def find_answer(self, key: CallKey) -> Answer | None:
        """Always ``None``, so that no answer is reused."""
        return None

    def add_answer(self, key: CallKey, answer: Answer) -> None:
        """Keep an answer."""
        self.answers.append(answer)


class LanguageModel(ModelPool):
    """The language models of the settings, each behind an OpenAI-compatible endpoint; answers are kept in ``log``."""

    def __init__(
        self,
        settings: LanguageModelSettings,
        log: CallLog,
        *,
        ledger: Ledger = UNLIMITED,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(settings, ledger, sleep, clock)
        self._log = log

    async def complete(
        self,
        role: str,
        context: CallContext,
        messages: Messages,
        *,
        step: Step,
        shorten: Callable[[int], Messages | None] | None = None,
        schema: Schema | None = None,
    ) -> Answer | Failure:
        """The complete answer of the model to ``messages``, or the failure.

        Args:
            role: the name of the prompt; with the context, it names the call. Each context asks it once.
            step: the step that a failure is reported for.
            shorten: returns the messages without the n least needed parts, n from 1; ``None`` when no more can go.
            schema: describes a reply that is JSON data. Other forms are accepted: an endpoint need not know schemas,
                and a pack may ask for its own form.

        Raises:
            EndpointError: every endpoint is down, or refuses the key, the model or the request.
        """
        parts = itertools.count()
        ask = functools.partial(self._ask, role, context, parts, schema)
        answer = await self._ask_until_whole(ask, messages)
        for num_left_out in itertools.count(1):
            shorter = shorten(num_left_out) if shorten and answer.finish == CONTEXT else None
            if shorter is None:
                break
            answer = await self._ask_until_whole(ask, shorter)
        if is_empty(answer):
            answer = await self._ask_until_whole(ask, answer.messages)
        if is_cut(answer):
            # A reply that follows a schema from its first character cannot be a continuation.
            answer = await self._continue(functools.partial(self._ask, role, context, parts, None), answer)
        return find_failure(answer, step) or answer

    async def _ask_until_whole(self, ask: Ask, messages: Messages) -> Answer:
        """The answer to ``messages``, asked again while it breaks off.

        Each attempt is a call of its own, with its own stored answer and reservations; see :meth:`Connection.fetch` for
        the retries within one call.
        """
        answer = await ask(messages, 0.0)
        for num_retries in range(self._settings.max_retries):
            if answer.finish != BROKEN:
                break
            answer = await ask(messages, backoff_seconds(num_retries))
        return answer

    async def _continue(self, ask: Ask, answer: Answer) -> Answer:
        """An answer that was cut off, with its continuations; its finish stays ``length`` if they do not end it.

        A reply that repeats itself is not continued.
        """
        for _ in range(_MOST_CONTINUATIONS):
            if repeats_itself(answer.text):
                break
            messages = (*answer.messages, ("assistant", answer.text), ("user", continuation()))
            rest = await self._ask_until_whole(ask, messages)
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
        context: CallContext,
        parts: Iterator[int],
        schema: Schema | None,
        messages: Messages,
        after_seconds: float,
    ) -> Answer:
        """The stored answer of one call, or a fresh one, which is stored first."""
        digest = hashlib.sha256(json.dumps(messages).encode()).hexdigest()[:16]
        key = CallKey(context.candidate_id, role, context.version, next(parts), digest)
        answer = await asyncio.to_thread(self._log.find_answer, key)
        if answer is None:
            if after_seconds:
                await self._sleep(after_seconds)
            answer = await self.fetch(key, context, messages, schema)
            await asyncio.to_thread(self._log.add_answer, key, answer)
        return answer
