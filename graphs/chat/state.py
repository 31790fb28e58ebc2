"""What the chat's graph keeps between its steps, and from one question of a thread to the next: plain JSON."""

from __future__ import annotations

from typing import Annotated, Any

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

KEPT_TURNS = 20
"""Turns a thread remembers; more than a question may refer to, so that ``--chat.turns`` can be raised later."""


class ChatInput(TypedDict):
    """A question: the last message. Clients that chat, LangGraph Studio among them, send it so."""

    messages: Annotated[list[AnyMessage], add_messages]


class ChatState(ChatInput, total=False):
    """A conversation.

    ``question`` … ``notes`` are those of the turn under way, or of the last: the :class:`Understanding` and the
    :class:`Evidence` of :mod:`fairnad.ideas.conversation` as JSON data. ``answered_by`` is the language model's
    name, or ``built-in``; ``turns`` are the :class:`Turn` that were finished, the oldest first.
    """

    question: str
    understood: dict[str, Any]
    evidence: list[dict[str, Any]]
    answer: str
    cited: list[str]
    notes: list[str]
    answered_by: str
    turns: list[dict[str, Any]]


class ChatUpdate(TypedDict, total=False):
    """What a step of the chat changes."""

    messages: list[AnyMessage]
    question: str
    understood: dict[str, Any]
    evidence: list[dict[str, Any]]
    answer: str
    cited: list[str]
    notes: list[str]
    answered_by: str
    turns: list[dict[str, Any]]
