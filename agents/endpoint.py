"""Whether an endpoint is fit for a search: what it serves, and how fast it answers."""

from __future__ import annotations

import os
from dataclasses import dataclass

from agents.call_memory import CallMemory
from agents.connection import Down
from agents.llm import LanguageModel
from agents.model_pool import RESUME_ADVICE
from agents.reception import ESTIMATED
from fairnad.candidate import CandidateId, Failure, Stage, Step
from fairnad.errors import EndpointError
from fairnad.ports import Errand
from fairnad.settings import LanguageModelSettings

_MAX_TOKENS = 64
_PATIENCE_SECONDS = 60.0
_QUESTION = (("user", "Reply with the one word: ready"),)
_ERRAND = Errand(str(CandidateId(0, Stage.BASE, 1, 0, 0)), 0, 0)


@dataclass(frozen=True, slots=True)
class EndpointReport:
    """What came of asking.

    ``models`` is ``None`` where the endpoint does not list any; ``fault`` says in a line why there is no answer
    and ``advice`` what to do about it, both empty where there is one; ``seconds`` is the time the answer took.
    """

    url: str
    models: tuple[str, ...] | None = None
    fault: str = ""
    advice: str = ""
    seconds: float = 0.0
    output_tokens: int = 0

    @property
    def tokens_a_second(self) -> float | None:
        """``None`` where the endpoint counts no tokens."""
        return self.output_tokens / self.seconds if self.output_tokens and self.seconds else None


async def ask_endpoint(settings: LanguageModelSettings) -> EndpointReport:
    """Ask the endpoint for its models and for one tiny completion, without retries.

    Raises:
        SettingsError: the base URL is none.
    """
    patience = min(settings.timeout_seconds, _PATIENCE_SECONDS)
    hasty = settings.model_copy(update={"max_retries": 0, "max_tokens": _MAX_TOKENS, "timeout_seconds": patience})
    answers = CallMemory()
    model = LanguageModel(hasty, answers)
    connection = model.connections[0]
    models: list[str] | None = None
    try:
        models = await connection.served_models()
        result = await model.complete("doctor", _ERRAND, _QUESTION, step=Step.MUTATE)
    except (Down, EndpointError) as error:
        fault, advice = _split(str(error).removesuffix(RESUME_ADVICE))
        return EndpointReport(connection.url, _tuple(models), fault, advice)
    finally:
        await model.aclose()
    # A model that still thought at the limit has answered too.
    call = answers.answers[0].call
    fault = result.message if isinstance(result, Failure) and not call.output_tokens else ""
    counted = 0 if ESTIMATED in call.note else call.output_tokens
    return EndpointReport(connection.url, _tuple(models), fault, seconds=call.seconds, output_tokens=counted)


def has_key() -> bool:
    """Whether a key is set; it is shown to nobody."""
    return bool(os.environ.get("OPENAI_API_KEY"))


def _split(message: str) -> tuple[str, str]:
    """(what is wrong, what to do): where something can be done, it follows the endpoint's own words in brackets."""
    fault, bracket, advice = message.rpartition("): ")
    return (f"{fault})", advice) if bracket else (message, "")


def _tuple(models: list[str] | None) -> tuple[str, ...] | None:
    return None if models is None else tuple(models)
