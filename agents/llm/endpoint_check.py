"""Checks whether a search can use an endpoint, with requests like those of a search."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agents.llm.connection import Connection, Down
from agents.llm.streamed_reply import BROKEN, CONTEXT, ESTIMATED, find_failure, is_cut, is_empty
from agents.replies.reply_schemas import VERDICT
from fairnad.ports import Answer, CallKey
from fairnad.records.candidate import CandidateId, Failure, Stage, Step
from fairnad.records.spending import UNLIMITED
from fairnad.search.stalls import advice_for
from fairnad.settings.model_entries import LanguageModelSettings, ModelEntry
from prompts.templates import Messages

_REQUEST = "This is a trial of the connection. Leave all of the above undone, and reply with the one word: ready"
_ALONE: Messages = (("system", "You answer in one word."), ("user", ""))
_KEY = CallKey(str(CandidateId(0, Stage.BASE, 1, 0, 0)), "doctor", 0, 0, "")


@dataclass(frozen=True, slots=True)
class EndpointReport:
    """The result of a check.

    ``models`` is ``None`` if the endpoint lists none; ``fault`` says in one line why there is no answer and
    ``advice`` what to do, both empty after an answer; ``seconds`` is the time of the answer. ``quirks`` say what the
    endpoint does not accept.
    """

    url: str
    models: tuple[str, ...] | None = None
    fault: str = ""
    advice: str = ""
    seconds: float = 0.0
    output_tokens: int = 0
    quirks: tuple[str, ...] = ()

    @property
    def tokens_a_second(self) -> float | None:
        """``None`` if the endpoint counts no tokens."""
        return self.output_tokens / self.seconds if self.output_tokens and self.seconds else None


async def ask_endpoint(
    settings: LanguageModelSettings, entry: ModelEntry | None = None, prompts: Sequence[Messages] = (_ALONE,)
) -> EndpointReport:
    """Ask an endpoint for its models, then send two requests of a search: plain, and with a JSON schema. No retries.

    Args:
        entry: one of the settings' entries; ``None``: the only one.
        prompts: a prompt of the search, then its shortened versions. Each gets a line that asks for one word.

    Raises:
        SettingsError: the base URL is not a URL.
    """
    without_retries = settings.model_copy(update={"max_retries": 0})
    connection = Connection(entry or settings.models[0], without_retries, UNLIMITED, asyncio.sleep, time.monotonic)
    models: tuple[str, ...] | None = None
    try:
        served = await connection.served_models()
        models = None if served is None else tuple(served)
        answer = await _ask(connection, [_add_request(prompt) for prompt in prompts])
        failure = _find_failure(answer)
        if failure is None:
            failure = _find_failure(await connection.fetch(_KEY, answer.messages, VERDICT), "by JSON schema: ")
    except Down as error:
        return EndpointReport(connection.url, models, error.fault, error.advice)
    finally:
        await connection.aclose()
    fault, advice = (failure.message, advice_for(failure.step, failure.kind)) if failure is not None else ("", "")
    call = answer.call
    num_tokens = 0 if ESTIMATED in call.note else call.output_tokens
    quirks = tuple(connection.quirks.describe())
    return EndpointReport(connection.url, models, fault, advice, call.seconds, num_tokens, quirks)


async def _ask(connection: Connection, prompts: Sequence[Messages]) -> Answer:
    """The answer to the first prompt that fits; asked once more if it is empty, as in a search."""
    for prompt in prompts:
        answer = await connection.fetch(_KEY, prompt)
        if answer.finish != CONTEXT:
            break
    if is_empty(answer) or answer.finish == BROKEN:
        answer = await connection.fetch(_KEY, answer.messages)
    return answer


def _find_failure(answer: Answer, where: str = "") -> Failure | None:
    """The failure if a search could not use an answer, or ``None``.

    A search continues a long answer that was cut off; a short one was not cut off by the token limit.
    """
    is_long = answer.call.output_tokens > (answer.max_tokens or 0) / 2
    found = None if is_cut(answer) and is_long else find_failure(answer, Step.MUTATE)
    return replace(found, message=f"{where}{found.message}") if found is not None else None


def _add_request(prompt: Messages) -> Messages:
    *others, (role, text) = prompt
    return (*others, (role, f"{text}\n\n{_REQUEST}".strip()))
