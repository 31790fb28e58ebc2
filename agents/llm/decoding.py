"""Decodes the body of an answer: a stream of events or one JSON object, in any dialect of the protocol. Pure.

Events without data, comments and events of other kinds are skipped. Fields that are null or of a wrong type count as
missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fairnad.error_bodies import ErrorBody, read_error, read_error_text

DONE = "[DONE]"
_LINE_END = re.compile(r"\r\n|\n|\r(?!\Z)")
"""A carriage return at the end of the text so far may be the first half of a line end."""
_FIELD = re.compile(r"(data|event|id|retry)\s*:|:")
_WORDS = ("text", "output_text")
"""The parts of a message that are its text; the others are reasoning and tool calls."""


class _BodyError(Exception):
    """``body`` is the message of the response."""

    def __init__(self, body: ErrorBody) -> None:
        super().__init__(body.message)
        self.body = body


class NotACompletionError(_BodyError):
    """The response is not a chat completion."""


class ReportedError(_BodyError):
    """The endpoint reports an error instead of an answer, or within one."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of an answer in one event. Token counts are the endpoint's so far, or ``None``.

    ``is_last``: the endpoint has ended the answer without a fault, whether or not it gave a reason.
    """

    text: str = ""
    reasoning: str = ""
    finish: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    is_last: bool = False


class Decoder:
    """Reads the text of a body as it arrives, and yields the pieces that are complete.

    ``is_done``: the endpoint has ended the answer; ignore everything after it.
    """

    def __init__(self) -> None:
        self._rest = ""
        self._is_stream: bool | None = None
        self._body: list[str] = []
        self._data: list[str] = []
        self._kind = ""
        self._num_pieces = 0
        self.is_done = False

    def feed(self, text: str) -> Iterator[Piece]:
        """The pieces that ``text`` completes.

        Raises:
            ReportedError: the endpoint reports an error.
            NotACompletionError: an event cannot be read.
        """
        *lines, self._rest = _LINE_END.split(self._rest + text)
        for line in lines:
            yield from self._take(line)

    def end(self) -> Iterator[Piece]:
        """The pieces that the end of the body completes.

        Raises:
            ReportedError: the body is an error.
            NotACompletionError: there was no piece of an answer.
        """
        yield from self._take(self._rest.rstrip("\r"))
        self._end_event()
        if not self._is_stream:
            yield from self._read_body("\n".join(self._body))
        elif not self._num_pieces:
            raise NotACompletionError(ErrorBody("a stream without an answer"))
        if self.is_done:
            yield Piece(is_last=True)

    def _take(self, line: str) -> Iterator[Piece]:
        if self._is_stream is None:
            line = line.removeprefix("\ufeff")
            if not line.strip():
                return
            self._is_stream = _FIELD.match(line) is not None
        if not self._is_stream:
            self._body.append(line)
        elif not line.strip():
            self._end_event()
        elif line.startswith("event:"):
            self._kind = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            yield from self._take_data(line.removeprefix("data:").strip())

    def _take_data(self, data: str) -> Iterator[Piece]:
        """One line of an event's data; an event may have several lines and need not end with an empty one."""
        if data.startswith(DONE):
            self.is_done = True
        if not data or self.is_done:
            return
        self._data.append(data)
        try:
            event = json.loads("\n".join(self._data))
        except (ValueError, RecursionError):
            return
        self._data = []
        if self._kind == "error":
            raise ReportedError(read_error(event))
        piece = _piece(event)
        if piece is not None:
            self._num_pieces += 1
            yield piece

    def _end_event(self) -> None:
        """Prepare for the next event.

        Raises:
            NotACompletionError: the data of this event is no JSON.
        """
        self._kind = ""
        if self._data:
            raise NotACompletionError(read_error_text("\n".join(self._data)))

    def _read_body(self, body: str) -> Iterator[Piece]:
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            content = None
        piece = _piece(content)
        if piece is None:
            error = read_error_text(body)
            raise NotACompletionError(error if error.message else ErrorBody("an empty response"))
        self.is_done = bool(piece.text)
        yield piece


def _piece(event: object) -> Piece | None:
    """The part of an answer in an event, or ``None``.

    Raises:
        ReportedError: the event is an error.
    """
    if isinstance(event, list) and len(event) == 1:
        event = event[0]
    if not isinstance(event, dict):
        return None
    if event.get("error") or event.get("object") == "error" or event.get("type") == "error":
        raise ReportedError(read_error(event))
    usage = event.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    if "choices" not in event and not counts:
        return None
    choice = _first_choice(event.get("choices"))
    message: Mapping[str, Any] = next(
        (choice[name] for name in ("delta", "message") if isinstance(choice.get(name), dict)), {}
    )
    finish = choice.get("finish_reason")
    return Piece(
        text=_text(message.get("content")) or _text(choice.get("text")) or _text(message.get("refusal")),
        reasoning=_text(message.get("reasoning_content")) or _text(message.get("reasoning")),
        finish=finish.strip().lower() if isinstance(finish, str) else "",
        input_tokens=_count(counts.get("prompt_tokens")),
        output_tokens=_count(counts.get("completion_tokens")),
    )


def _first_choice(choices: object) -> Mapping[str, Any]:
    """The first of several answers; empty if the event belongs to another one."""
    if not isinstance(choices, list):
        return {}
    return next((one for one in choices if isinstance(one, dict) and one.get("index") in (0, None)), {})


def _text(content: object) -> str:
    if isinstance(content, list):
        return "".join(_text(part) for part in content)
    if isinstance(content, dict):
        return _text(content.get("text")) if content.get("type", "text") in _WORDS else ""
    return content if isinstance(content, str) else ""


def _count(number: object) -> int | None:
    """A number of tokens; ``None`` if it is missing or impossible."""
    if isinstance(number, bool) or not isinstance(number, int | float | str):
        return None
    try:
        counted = int(float(number))
    except (ValueError, OverflowError):
        return None
    return counted if counted >= 0 else None
