"""Whether an endpoint is fit for a search: it is asked as the search asks, and for the models it serves."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agents.llm.connection import Connection, Down
from agents.llm.streamed_reply import BROKEN, CONTEXT, ESTIMATED, failure, is_cut, is_empty
from agents.replies.reply_schemas import VERDICT
from fairnad.ports import Answer, CallKey
from fairnad.records.candidate import CandidateId, Failure, Stage, Step
from fairnad.records.spending import UNLIMITED
from fairnad.search.stalls import advice_for
from fairnad.settings.model_entries import ModelEntry
from fairnad.settings.search_settings import LanguageModelSettings
from prompts.templates import Messages

_REQUEST = "This is a trial of the connection. Leave all of the above undone, and reply with the one word: ready"
_ALONE: Messages = (("system", "You answer in one word."), ("user", ""))
_KEY = CallKey(str(CandidateId(0, Stage.BASE, 1, 0, 0)), "doctor", 0, 0, "")


@dataclass(frozen=True, slots=True)
class EndpointReport:
    """What came of asking.

    ``models`` is ``None`` where the endpoint does not list any; ``fault`` says in a line why there is no answer
    and ``advice`` what to do about it, both empty where there is one; ``seconds`` is the time the answer took.
    ``quirks`` say what it does not take, and is asked without.
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
        """``None`` where the endpoint counts no tokens."""
        return self.output_tokens / self.seconds if self.output_tokens and self.seconds else None


async def ask_endpoint(
    settings: LanguageModelSettings, entry: ModelEntry | None = None, prompts: Sequence[Messages] = (_ALONE,)
) -> EndpointReport:
    """Ask an endpoint for its models, then as a search does: once as it is, once by JSON schema; without retries.

    Args:
        entry: which one of the settings; ``None``: the only one.
        prompts: a prompt of the search, then those it is shortened to. A line is added to each that asks for one word.

    Raises:
        SettingsError: the base URL is none.
    """
    patient = settings.model_copy(update={"max_retries": 0})
    connection = Connection(entry or settings.entries[0], patient, UNLIMITED, asyncio.sleep, time.monotonic)
    asked = [_with_request(prompt) for prompt in prompts]
    models: list[str] | None = None
    try:
        models = await connection.served_models()
        answer = await _ask(connection, asked)
        failed = _failure(answer)
        if failed is None:
            failed = _failure(await connection.fetch(_KEY, answer.messages, VERDICT), "by JSON schema: ")
    except Down as error:
        return EndpointReport(connection.url, _tuple(models), error.fault, error.advice)
    finally:
        await connection.aclose()
    call = answer.call
    counted = 0 if ESTIMATED in call.note else call.output_tokens
    quirks = tuple(connection.quirks.described())
    fault, advice = (failed.message, advice_for(failed.step, failed.kind)) if failed is not None else ("", "")
    return EndpointReport(connection.url, _tuple(models), fault, advice, call.seconds, counted, quirks)


async def _ask(connection: Connection, prompts: Sequence[Messages]) -> Answer:
    """What is answered to the first prompt that fits; once more where that is nothing, as in a search."""
    for prompt in prompts:
        answer = await connection.fetch(_KEY, prompt)
        if answer.finish != CONTEXT:
            break
    if is_empty(answer) or answer.finish == BROKEN:
        answer = await connection.fetch(_KEY, answer.messages)
    return answer


def _failure(answer: Answer, where: str = "") -> Failure | None:
    """Why a search could make nothing of an answer, ``None`` where it could.

    A long answer that is cut off is continued there; a short one is cut off by something else than the limit.
    """
    is_long = answer.call.output_tokens > (answer.max_tokens or 0) / 2
    found = None if is_cut(answer) and is_long else failure(answer, Step.MUTATE)
    return replace(found, message=f"{where}{found.message}") if found is not None else None


def _with_request(prompt: Messages) -> Messages:
    *others, (role, text) = prompt
    return (*others, (role, f"{text}\n\n{_REQUEST}".strip()))


def has_key(variable: str = "OPENAI_API_KEY") -> bool:
    """Whether a key is set; it is shown to nobody."""
    return bool(os.environ.get(variable))


def _tuple(models: list[str] | None) -> tuple[str, ...] | None:
    return None if models is None else tuple(models)
