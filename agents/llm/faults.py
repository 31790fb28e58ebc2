"""What a fault of an endpoint means: try again, ask for less, or stop the search. Pure."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, auto

from fairnad.error_bodies import ErrorBody

NO_WORDS = ErrorBody("")
_FIRST_DELAY_SECONDS = 2.0
_LONGEST_DELAY_SECONDS = 60.0
_LONGEST_REQUESTED_DELAY_SECONDS = 600.0
_MESSAGE_CHARACTERS = 300

_WHERE = "--llm.base-url to where its API begins (often …/v1), with --llm.models in its entry"

_MORE_MEMORY = "free memory on the endpoint's machine, or choose a smaller --llm.model"

_PASSING = {408, 409, 423, 425, 429}

_LENGTH_CODES = re.compile(
    r"context[_ ]?(length|size|window|limit)|string_above_max|tokens_limit|max_prompt_tokens"
    r"|(request|prompt|input)_too_(large|long)"
)
_INPUT = (
    r"\b((prompt|input)(s|_tokens)?|context|messages?|conversation|request (body|entity)|payload|content|text|string"
    r"|tokens?|max_new_tokens|seq(uence)?[ _]len(gth)?|n_ctx|window)\b"
)
_EXCESS = (
    r"(too (long|large|many|big)|exceed|(long|great|larg)er than|more tokens than|more than the|overflow|reduce"
    r"|shorten|shorter"
    r"|(must|should|can ?not) (be|have) (\[\d|(<=?|less than|at most|fewer than|below|under)( or equal to)? ?\d{3})"
    r"|only supports? up to|at most \d+ tokens|n[o']t fit|limit reached|limit is \d{3}|token limit"
    r"|(over|above|beyond) the (limit|maximum)|(?<!-)>=? ?\d{3}|>= n_ctx)"
)
_TOO_LONG = re.compile(
    rf"{_INPUT}.{{0,120}}{_EXCESS}|{_EXCESS}.{{0,80}}{_INPUT}|max(imum)? (context|prompt|input)|out of context"
    r"|max_position|context[ _-]?(length|window|size)|context (is )?full|too many (input |prompt )?tokens"
    r"|at least 1, got -\d",
    re.IGNORECASE | re.DOTALL,
)
_SURELY_TOO_LONG = re.compile(
    r"(request|prompt|input|body|messages?) (is |are )?too (long|large)|context length", re.IGNORECASE
)
_RATE = re.compile(
    r"quota|rate.?limit|(per|a|each) (second|minute|min|hour|day)\b|daily|hourly|credit|balance|billing|\bwait\b|later"
    r"|slow down|overload|\bmemory\b",
    re.IGNORECASE,
)
"""Words of endpoints that are asked too much or too often, not too long a question."""


class FaultKind(Enum):
    """What can be done about a fault."""

    PASSING = auto()
    """the same request may be answered later"""
    TOO_LONG = auto()
    """a shorter prompt may be answered"""
    HOPELESS = auto()
    """no request will be answered until somebody changes something"""


@dataclass(frozen=True)
class Fault:
    """What went wrong, in the words of the endpoint, with what to do about it where it is hopeless."""

    kind: FaultKind
    message: str
    advice: str = ""
    retry_after_seconds: float | None = None
    halts: bool = False
    """whether no other request of the endpoint will be answered before the delay is over, either"""
    body: ErrorBody = NO_WORDS
    """what the endpoint said, as far as it said anything"""
    status: int = 0
    """the HTTP status, or the one that the body names; 0 without one"""


def refusal(status: int, body: ErrorBody, headers: Mapping[str, str], key_variable: str = "OPENAI_API_KEY") -> Fault:
    """What an HTTP status other than 200 means; 0 where an error came without one.

    Args:
        headers: of the response, with names in lower case or found whatever their case.
        key_variable: the environment variable the key comes from.
    """
    words = shown(body.message) or "no words"
    said = f"{status}: {words}" if status else words
    lacks_memory = re.search(r"\bmemory\b", body.message, re.IGNORECASE) is not None
    fault = functools.partial(Fault, body=body, status=status)
    if status == 413 or is_too_long(body):
        return fault(FaultKind.TOO_LONG, said)
    if status == 402 or (status == 429 and "insufficient_quota" in body.codes):
        return fault(FaultKind.HOPELESS, f"has no quota left ({said})", "raise the quota of the key's account")
    if status in _PASSING or status >= 500 or not status:
        delay = _retry_after_seconds(headers)
        delay = body.retry_after_seconds if delay is None else delay
        advice = _MORE_MEMORY if lacks_memory else ""
        return fault(FaultKind.PASSING, said, advice, delay, halts=status == 429)
    if status in (401, 403):
        return fault(FaultKind.HOPELESS, f"refuses the key ({said})", f"set {key_variable} to a key it accepts")
    if status == 404:
        advice = f"set --llm.model to a model it serves, and {_WHERE}"
        return fault(FaultKind.HOPELESS, f"has no such model ({said})", advice)
    return fault(
        FaultKind.HOPELESS,
        f"refuses the request ({said})",
        _MORE_MEMORY if lacks_memory else "change the settings under --llm",
    )


def is_too_long(body: ErrorBody) -> bool:
    """Whether an endpoint says that a prompt has more tokens than it reads."""
    if _LENGTH_CODES.search(body.codes) or _SURELY_TOO_LONG.search(body.message):
        return True
    return _TOO_LONG.search(body.message) is not None and _RATE.search(body.message) is None


def interruption(message: str) -> Fault:
    """What an error on the wire means."""
    return Fault(FaultKind.PASSING, shown(message))


def not_a_completion(body: ErrorBody) -> Fault:
    """What it means that something arrives, but nothing that can be read as an answer."""
    if is_too_long(body):
        return Fault(FaultKind.TOO_LONG, shown(body.message), body=body)
    message = f"what it sends is no chat completion ({shown(body.message)})"
    return Fault(FaultKind.PASSING, message, f"set {_WHERE}", body=body)


def shown(words: str) -> str:
    """The words of an endpoint, no longer than a message may be."""
    return words if len(words) <= _MESSAGE_CHARACTERS else f"{words[: _MESSAGE_CHARACTERS - 1]}…"


def delay_seconds(fault: Fault, num_retries: int) -> float:
    """How long to wait before the next try: as the endpoint asks, within reason, otherwise as always."""
    if fault.retry_after_seconds is None:
        return backoff_seconds(num_retries)
    return min(fault.retry_after_seconds, _LONGEST_REQUESTED_DELAY_SECONDS)


def backoff_seconds(num_retries: int) -> float:
    """How long to wait after ``num_retries`` retries that failed: twice as long each time, up to a minute."""
    return float(min(_FIRST_DELAY_SECONDS * 2**num_retries, _LONGEST_DELAY_SECONDS))


def _retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """From ``retry-after-ms``, or ``retry-after`` in seconds or as a date; ``None`` where neither can be read."""
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        if re.fullmatch(r"\s*\d+(\.\d*)?\s*", headers.get(name, "")):
            return float(headers[name]) * scale
    try:
        # The server's own clock, so that a wrong one here does no harm.
        moment, now = (parsedate_to_datetime(headers.get(name, "")) for name in ("retry-after", "date"))
        return max(0.0, (moment - now).total_seconds())
    except (ValueError, TypeError):
        return None
