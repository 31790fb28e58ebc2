"""Quirks of one endpoint: request fields it refused, which later requests leave out. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from agents.llm.faults import Fault, FaultKind
from agents.replies.reply_schemas import Schema
from fairnad.settings.model_entries import ModelEntry
from prompts.templates import Messages

LEAST_REPLY_TOKENS = 256
"""A shorter reply is useless: if the context has no room for it, the prompt is shortened."""
_LEAST_CONTEXT_TOKENS = 512
"""Minimum context length; a smaller number in a refusal has another meaning."""
_MARGIN_TOKENS = 16
_MARGIN = 1.02
"""The tokens of a prompt are estimated from a prompt that was refused, plus this margin."""
_CHARACTERS_A_TOKEN = 3.0
"""Used if the refusal does not say how many tokens the prompt has."""

_SCHEMA = re.compile(
    r"response[ _-]?format|json[ _-]?(schema|mode|object)|schema|grammar|guided|structured|constrained", re.IGNORECASE
)
_REFUSES = re.compile(
    r"support|permit|allow|accept|invalid|unknown|unrecogni|unexpected|unavailable|disabled|enabled|deprecated|forbid"
    r"|must|should|only|verified|extra|not\b|no such|n't\b",
    re.IGNORECASE,
)
_LIMIT = re.compile(r"max_(completion_|output_|new_)?tokens|(completion|output) tokens", re.IGNORECASE)
_TOO_MANY = re.compile(
    r"too (large|many|big|high|long)|exceed|at most|less than|[<>]|smaller|range|up to|maximum (value|number|allowed)"
    r"|(must|should) be",
    re.IGNORECASE,
)
_ABOUT_PROMPT = re.compile(r"\b(prompt|inputs?|context|messages)\b", re.IGNORECASE)
_STREAM_OPTIONS = re.compile(r"stream[_ ]options|include_usage", re.IGNORECASE)
_CANNOT = r"(support|permit|allow|accept|invalid|unknown|unexpected|unavailable|disabled|verified|must)"
_STREAM = re.compile(rf"\bstream(ing|ed)?\b.{{0,60}}{_CANNOT}|{_CANNOT}.{{0,60}}\bstream(ing|ed)?\b", re.IGNORECASE)
_TEMPERATURE = re.compile(r"\btemperature\b", re.IGNORECASE)
_SYSTEM = re.compile(
    r"\bsystem\W{0,3} ?(message|prompt|instruction)|\broles?\b|developer instruction|invalid value\W+system",
    re.IGNORECASE,
)
_CONTEXT = re.compile(r"(?:context|model)[ _-]?(?:length|window|size|limit)\D{0,30}(\d+)", re.IGNORECASE)
_AT_MOST = re.compile(r"(?:<=|>) ?(\d+)")
_PROMPT = re.compile(
    r"(\d+) (?:tokens )?`?(?:input|prompt)|(\d+) (?:tokens )?(?:in|from|of) (?:the |your )?"
    r"(?:input|text|messages|prompt)"
    r"|: (\d+) \+ \d",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Lesson:
    """The result of a refusal: ``changes`` to the quirks, and whether to send the same prompt again."""

    changes: Mapping[str, Any]
    asks_again: bool = True


@dataclass(frozen=True, slots=True)
class Quirks:
    """The known properties of an endpoint.

    ``limit_fields`` are possible names of the field that limits the reply, in the order of use; an empty name means no
    field. ``most_tokens`` is the largest limit it allows, ``context_tokens`` the maximum of prompt and reply together;
    0: unknown. ``characters_a_token`` is the average length of a token.
    """

    limit_fields: tuple[str, ...] = ("max_tokens", "max_completion_tokens", "")
    takes_schema: bool = True
    takes_temperature: bool = True
    takes_stream: bool = True
    takes_stream_options: bool = True
    takes_system: bool = True
    most_tokens: int = 0
    context_tokens: int = 0
    characters_a_token: float = _CHARACTERS_A_TOKEN

    @classmethod
    def expected(cls, entry: ModelEntry) -> Self:
        """The quirks of an endpoint that has not been asked yet.

        Local servers know the limit by its older name only and generate without end if it is missing; OpenAI's newer
        models refuse the older name.
        """
        if entry.base_url:
            return cls()
        return cls(limit_fields=("max_completion_tokens", "max_tokens", ""))

    def max_tokens(self, entry: ModelEntry, messages: Messages) -> int:
        """The maximum number of tokens of the reply to a prompt."""
        most = min(entry.max_tokens, self.most_tokens or entry.max_tokens)
        if not self.context_tokens:
            return most
        num_prompt = math.ceil(_num_characters(messages) / self.characters_a_token * _MARGIN)
        return min(most, max(self.context_tokens - num_prompt - _MARGIN_TOKENS, LEAST_REPLY_TOKENS))

    def messages(self, messages: Messages) -> Messages:
        """The messages in a form the endpoint accepts."""
        if self.takes_system:
            return messages
        instructions = "\n\n".join(text for role, text in messages if role == "system")
        others = [message for message in messages if message[0] != "system"] or [("user", "")]
        role, text = others[0]
        return ((role, f"{instructions}\n\n{text}".strip()), *others[1:])

    def fields(self, entry: ModelEntry, messages: Messages, schema: Schema | None) -> dict[str, Any]:
        """The fields of a request besides model and messages; the entry's ``extra_body`` overrides them."""
        fields: dict[str, Any] = {}
        if self.limit_fields[0]:
            fields[self.limit_fields[0]] = self.max_tokens(entry, messages)
        if self.takes_temperature:
            fields["temperature"] = entry.temperature
        fields["stream"] = self.takes_stream
        if self.takes_stream and self.takes_stream_options:
            fields["stream_options"] = {"include_usage": True}
        if schema is not None and self.takes_schema:
            form = {"name": "reply", "schema": dict(schema), "strict": True}
            fields["response_format"] = {"type": "json_schema", "json_schema": form}
        return fields | entry.extra_body

    def learn(self, fault: Fault, entry: ModelEntry, messages: Messages, *, sent_schema: bool) -> Lesson | None:
        """The changes that follow from a refusal; ``None`` if there are none.

        Args:
            messages: the prompt that was refused.
            sent_schema: whether a JSON schema was sent that may be left out.
        """
        if fault.status in (401, 402, 429) and fault.kind is not FaultKind.TOO_LONG:
            return None
        if sent_schema and self.takes_schema and self._is_of_schema(fault):
            return Lesson({"takes_schema": False})
        if lesson := self._learn_limit(fault, entry, messages):
            return lesson
        changes = self._learn_field(_text(fault), messages) if fault.kind is not FaultKind.TOO_LONG else {}
        return Lesson(changes) if changes else None

    def describe(self) -> list[str]:
        """The quirks in words."""
        parts = {
            "response_format": self.takes_schema,
            "temperature": self.takes_temperature,
            "stream": self.takes_stream,
            "stream_options": self.takes_stream_options,
            "the system role": self.takes_system,
        }
        descriptions = [f"it refuses {name}" for name, is_taken in parts.items() if not is_taken]
        if len(self.limit_fields) < len(Quirks().limit_fields):
            descriptions.append(f"it limits replies by {self.limit_fields[0] or 'no known field'}")
        if self.most_tokens:
            descriptions.append(f"its replies have at most {self.most_tokens} tokens")
        if self.context_tokens:
            descriptions.append(f"its context has {self.context_tokens} tokens")
        return descriptions

    def _is_of_schema(self, fault: Fault) -> bool:
        """Whether the schema is refused. A refusal that names no known field may mean the schema."""
        text = _text(fault)
        if _SCHEMA.search(text):
            return True
        names_other = any(form.search(text) for form in (_LIMIT, _TEMPERATURE, _STREAM, _STREAM_OPTIONS, _SYSTEM))
        return fault.kind is FaultKind.HOPELESS and fault.status in (400, 405, 415, 422, 501) and not names_other

    def _learn_limit(self, fault: Fault, entry: ModelEntry, messages: Messages) -> Lesson | None:
        """A smaller limit of the reply, if the refused one was too large for the endpoint or its context."""
        sent = self.max_tokens(entry, messages) if self.limit_fields[0] else 0
        text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", _text(fault))
        is_too_long = fault.kind is FaultKind.TOO_LONG
        names_limit = _LIMIT.search(text) is not None
        if not sent or not (is_too_long or names_limit):
            return None
        context, prompt = _first(_AT_MOST, text) or _first(_CONTEXT, text), _first(_PROMPT, text)
        if context and prompt:
            characters_a_token = max(_num_characters(messages), 1) / prompt
            changes: dict[str, Any] = {"context_tokens": context, "characters_a_token": characters_a_token}
            has_room = context - prompt >= LEAST_REPLY_TOKENS
            is_less = replace(self, **changes).max_tokens(entry, messages) < sent
            return Lesson(changes) if has_room and is_less else None
        if names_limit and _TOO_MANY.search(text) and not (_ABOUT_PROMPT.search(text) or "got -" in text):
            allowed = [number for number in map(int, re.findall(r"\d+", text)) if LEAST_REPLY_TOKENS <= number < sent]
            most = max(allowed, default=sent // 2)
            return Lesson({"most_tokens": most}) if most >= LEAST_REPLY_TOKENS else None
        context = _first(_CONTEXT, text)
        if context >= _LEAST_CONTEXT_TOKENS and not self.context_tokens:
            # The prompt alone may be too long: it is shortened, and the reply gets the room that is left.
            return Lesson({"context_tokens": context}, asks_again=False)
        return None

    def _learn_field(self, text: str, messages: Messages) -> dict[str, Any]:
        if not _REFUSES.search(text):
            return {}
        if self.takes_stream and self.takes_stream_options and _STREAM_OPTIONS.search(text):
            return {"takes_stream_options": False}
        if self.limit_fields[0] and _LIMIT.search(text):
            return {"limit_fields": self.limit_fields[1:]}
        if self.takes_temperature and _TEMPERATURE.search(text):
            return {"takes_temperature": False}
        if self.takes_system and _SYSTEM.search(text) and any(role == "system" for role, _ in messages):
            return {"takes_system": False}
        if self.takes_stream and _STREAM.search(text):
            return {"takes_stream": False}
        return {}


def _text(fault: Fault) -> str:
    """The endpoint's message, with the parameters it names."""
    return f"{fault.body.message} {fault.body.codes}"


def _num_characters(messages: Messages) -> int:
    return sum(len(text) for _, text in messages)


def _first(pattern: re.Pattern[str], text: str) -> int:
    """The first number that a pattern finds, 0 without one."""
    found = pattern.search(text)
    return int(next(filter(None, found.groups()), 0)) if found else 0
