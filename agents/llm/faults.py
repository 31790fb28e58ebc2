"""Classifies faults of an endpoint: retry, shorten the prompt, or give up. Pure."""

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
"""Words for too many requests, as opposed to too long prompts."""


class FaultKind(Enum):
    """The reaction to a fault."""

    PASSING = auto()
    """the same request may be answered later"""
    TOO_LONG = auto()
    """a shorter prompt may be answered"""
    HOPELESS = auto()
    """no request will be answered until the user changes something"""


@dataclass(frozen=True)
class Fault:
    """A fault, with the endpoint's message and advice."""

    kind: FaultKind
    message: str
    advice: str = ""
    retry_after_seconds: float | None = None
    halts: bool = False
    """whether the endpoint answers no request at all before the delay is over"""
    body: ErrorBody = NO_WORDS
    """the endpoint's message, empty without one"""
    status: int = 0
    """the HTTP status, or the status that the body names; 0 without one"""


def refusal(status: int, body: ErrorBody, headers: Mapping[str, str], key_variable: str = "OPENAI_API_KEY") -> Fault:
    """The fault of an HTTP status other than 200; 0: an error without a status.

    Args:
        headers: of the response; names in lower case, or case-insensitive.
        key_variable: the environment variable the key comes from.
    """
    message = shorten_message(body.message) or "no message"
    message = f"{status}: {message}" if status else message
    lacks_memory = re.search(r"\bmemory\b", body.message, re.IGNORECASE) is not None
    fault = functools.partial(Fault, body=body, status=status)
    if status == 413 or is_too_long(body):
        return fault(FaultKind.TOO_LONG, message)
    if status == 402 or (status == 429 and "insufficient_quota" in body.codes):
        return fault(FaultKind.HOPELESS, f"has no quota left ({message})", "raise the quota of the key's account")
    if status in _PASSING or status >= 500 or not status:
        delay = _retry_after_seconds(headers)
        delay = body.retry_after_seconds if delay is None else delay
        advice = _MORE_MEMORY if lacks_memory else ""
        return fault(FaultKind.PASSING, message, advice, delay, halts=status == 429)
    if status in (401, 403):
        return fault(FaultKind.HOPELESS, f"refuses the key ({message})", f"set {key_variable} to a key it accepts")
    if status == 404:
        advice = f"set --llm.model to a model it serves, and {_WHERE}"
        return fault(FaultKind.HOPELESS, f"has no such model ({message})", advice)
    return fault(
        FaultKind.HOPELESS,
        f"refuses the request ({message})",
        _MORE_MEMORY if lacks_memory else "change the settings under --llm",
    )


def is_too_long(body: ErrorBody) -> bool:
    """Whether an endpoint says that a prompt has too many tokens."""
    if _LENGTH_CODES.search(body.codes) or _SURELY_TOO_LONG.search(body.message):
        return True
    return _TOO_LONG.search(body.message) is not None and _RATE.search(body.message) is None


def interruption(message: str) -> Fault:
    """The fault of a connection that failed."""
    return Fault(FaultKind.PASSING, shorten_message(message))


def not_a_completion(body: ErrorBody) -> Fault:
    """The fault of a response that cannot be read as an answer."""
    if is_too_long(body):
        return Fault(FaultKind.TOO_LONG, shorten_message(body.message), body=body)
    message = f"the response is not a chat completion ({shorten_message(body.message)})"
    return Fault(FaultKind.PASSING, message, f"set {_WHERE}", body=body)


def shorten_message(message: str) -> str:
    """An endpoint's message, cut to the length of a message."""
    return message if len(message) <= _MESSAGE_CHARACTERS else f"{message[: _MESSAGE_CHARACTERS - 1]}…"


def delay_seconds(fault: Fault, num_retries: int) -> float:
    """Seconds until the next attempt: the endpoint's delay within limits, otherwise the usual backoff."""
    if fault.retry_after_seconds is None:
        return backoff_seconds(num_retries)
    return min(fault.retry_after_seconds, _LONGEST_REQUESTED_DELAY_SECONDS)


def backoff_seconds(num_retries: int) -> float:
    """Seconds to wait after ``num_retries`` failed retries: doubled each time, at most a minute."""
    return float(min(_FIRST_DELAY_SECONDS * 2**num_retries, _LONGEST_DELAY_SECONDS))


def _retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """From ``retry-after-ms``, or ``retry-after`` in seconds or as a date; ``None`` if neither can be read."""
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        if re.fullmatch(r"\s*\d+(\.\d*)?\s*", headers.get(name, "")):
            return float(headers[name]) * scale
    try:
        # The server's own date, so that a wrong clock here does no harm.
        moment, now = (parsedate_to_datetime(headers.get(name, "")) for name in ("retry-after", "date"))
        return max(0.0, (moment - now).total_seconds())
    except (ValueError, TypeError):
        return None
