"""Reads the error message of an endpoint from a body in any form."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_WORDS = (
    "message", "msg", "error", "errors", "detail", "error_message", "error_description", "description", "title",
    "reason", "metadata", "raw",
)  # fmt: skip
"""Keys that hold messages, in reading order."""
_CODES = ("code", "type", "error_type", "status", "param", "parameter")
_DELAYS = {"retrydelay": 1.0, "retry_after": 1.0, "retry_after_seconds": 1.0, "retry_after_ms": 1e-3}
_UNITS = {"ms": 1e-3, "milliseconds": 1e-3, "m": 60.0, "min": 60.0, "minutes": 60.0}
_DELAY_IN_WORDS = re.compile(
    r"(?:retry|try again) (?:in|after) (\d+(?:\.\d+)?) ?(ms|milliseconds|minutes|min|m|seconds|s)\b", re.IGNORECASE
)
_UNSEEN = re.compile(r"<!--.*?-->|<(script|style)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_DEEPEST = 6
"""Deeper levels are not searched."""


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """An endpoint's error.

    ``message`` is one line, possibly empty. ``codes`` holds its codes, types and parameter names in lower case,
    separated by spaces. ``status`` is the HTTP status named in the body, 0 if it names none.
    """

    message: str
    codes: str = ""
    status: int = 0
    retry_after_seconds: float | None = None


def read_error_text(text: str) -> ErrorBody:
    """Read an error body: JSON, HTML or plain text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict | list | str):
        return read_error(value)
    words = _one_line(_text_of_page(text) if re.match(r"\s*<", text) else text)
    return ErrorBody(words, retry_after_seconds=_delay_in_words(words))


def read_error(value: object) -> ErrorBody:
    """Read an error body, or an event of a stream, that is parsed JSON."""
    message = "; ".join(dict.fromkeys(_one_line(words) for words in _words(value) if words.strip()))
    fields = list(_fields(value))
    codes = [str(found) for name, found in fields if name in _CODES and isinstance(found, str | int)]
    numbers = [int(code) for code in codes if re.fullmatch(r"[45]\d\d", code)]
    delays = [_delay(name, found) for name, found in fields]
    delay = next((seconds for seconds in delays if seconds is not None), None)
    if delay is None:
        delay = _delay_in_words(message)
    if not message:
        message = _one_line(" ".join(codes)) or _one_line(json.dumps(value, ensure_ascii=False))
    return ErrorBody(message, " ".join(codes).lower(), numbers[0] if numbers else 0, delay)


def _words(value: object, depth: int = 0) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _words(one, depth + 1)
    elif isinstance(value, dict):
        if isinstance(value.get("loc"), list) and isinstance(value.get("msg"), str):
            yield f"{'.'.join(map(str, value['loc']))}: {value['msg']}"
            return
        for name in _WORDS:
            if name in value:
                yield from _words(value[name], depth + 1)


def _fields(value: object, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """(name in lower case, value) of every field at any level."""
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for one in value:
            yield from _fields(one, depth + 1)
    elif isinstance(value, Mapping):
        for name, found in value.items():
            yield str(name).lower(), found
            yield from _fields(found, depth + 1)


def _delay(name: str, value: object) -> float | None:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)s?", str(value))
    return float(found[1]) * _DELAYS[name] if name in _DELAYS and found else None


def _delay_in_words(message: str) -> float | None:
    found = _DELAY_IN_WORDS.search(message)
    return float(found[1]) * _UNITS.get(found[2].lower(), 1.0) if found else None


def _text_of_page(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", _UNSEEN.sub(" ", page)))


def _one_line(text: str) -> str:
    return " ".join(text.split())
