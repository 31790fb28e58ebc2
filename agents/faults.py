"""What a fault of an endpoint means: try again, ask for less, or stop the search. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, auto

_FIRST_DELAY_SECONDS = 2.0
_LONGEST_DELAY_SECONDS = 60.0
_LONGEST_REQUESTED_DELAY_SECONDS = 600.0

_WHERE = "--llm.base-url to where its API begins (often …/v1), with --llm.models in its entry"

_PASSING = {408, 409, 423, 425, 429}
_MAY_MEAN_TOO_LONG = {400, 413, 422}
_MAY_MEAN_NO_SCHEMA = {400, 415, 422, 501}
_SCHEMA = re.compile(r"response[ _-]?format|json[ _-]?schema|schema|grammar|guided|structured output", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"context[ _-]?(length|window|size)|maximum context|(prompt|input|request|messages?) (is |are )?too (long|large)"
    r"|exceeds? the (maximum|available|model)|max_new_tokens|reduce the length|too many (input )?tokens",
    re.IGNORECASE,
)


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
    is_of_schema: bool = False
    """whether it is the form asked for, by JSON schema, that was refused"""


def refusal(
    status: int, message: str, code: str, headers: Mapping[str, str], key_variable: str = "OPENAI_API_KEY"
) -> Fault:
    """What an HTTP status other than 200 means.

    Args:
        key_variable: the environment variable the key comes from.
        code: the error code in the body, empty where there is none.
        headers: of the response, with names in lower case or found whatever their case.
    """
    said = f"{status}: {message}"
    if status in _MAY_MEAN_TOO_LONG and (status == 413 or "context" in code or _TOO_LONG.search(message)):
        return Fault(FaultKind.TOO_LONG, said)
    if status == 429 and code == "insufficient_quota":
        return Fault(FaultKind.HOPELESS, f"has no quota left ({said})", "raise the quota of the key's account")
    of_schema = status in _MAY_MEAN_NO_SCHEMA and _SCHEMA.search(message) is not None
    if status in _PASSING or (status >= 500 and not of_schema):
        return Fault(FaultKind.PASSING, said, "", _retry_after_seconds(headers), halts=status == 429)
    if status in (401, 403):
        return Fault(FaultKind.HOPELESS, f"refuses the key ({said})", f"set {key_variable} to a key it accepts")
    if status == 404:
        advice = f"set --llm.model to a model it serves, and {_WHERE}"
        return Fault(FaultKind.HOPELESS, f"has no such model ({said})", advice)
    advice = "change the settings under --llm"
    return Fault(FaultKind.HOPELESS, f"refuses the request ({said})", advice, is_of_schema=of_schema)


def interruption(message: str) -> Fault:
    """What an error means that came without a status: on the wire, or within an answer."""
    return Fault(FaultKind.TOO_LONG if _TOO_LONG.search(message) else FaultKind.PASSING, message)


def not_a_completion(message: str) -> Fault:
    """What it means that something arrives, but nothing that can be read as an answer."""
    return Fault(FaultKind.PASSING, f"what it sends is no chat completion ({message})", f"set {_WHERE}")


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
