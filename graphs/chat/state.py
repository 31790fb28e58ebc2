"""The state of the chat graph: plain JSON, which a thread keeps between questions."""

from __future__ import annotations

from typing import Annotated, Any

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

KEPT_TURNS = 20
"""Number of turns that a thread keeps."""


class ChatInput(TypedDict):
    """The input: the question is the last message, as in LangGraph Studio."""

    messages: Annotated[list[AnyMessage], add_messages]


class ChatState(TypedDict, total=False):
    """A conversation; also the update that a node returns.

    ``question`` to ``answered_by`` belong to the last turn: the :class:`Understanding` and the :class:`Evidence` of
    :mod:`fairnad.ideas.conversation` as JSON data; ``answered_by`` is the language model's name, or ``built-in``.
    ``turns`` are the finished turns, the oldest first.
    """

    messages: Annotated[list[AnyMessage], add_messages]
    question: str
    understood: dict[str, Any]
    evidence: list[dict[str, Any]]
    answer: str
    cited: list[str]
    notes: list[str]
    answered_by: str
    turns: list[dict[str, Any]]
