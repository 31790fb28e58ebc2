"""The graphs a LangGraph server serves, named by ``langgraph.json``; bare, since the server brings the checkpointer.

The server asks a factory here for the graph of each run, which is where settings are checked: the server itself drops
those that a graph does not know, without a word.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from langgraph.graph.state import StateGraph
from langgraph_sdk.runtime import ServerRuntime
from pydantic import BaseModel, Field, ValidationError

from fairnad.errors import SettingsError
from fairnad.settings.knowledge_settings import KnowledgeContext
from fairnad.settings.search_settings import RunContext
from graphs.candidate import single_idea
from graphs.chat import graph as chatting
from graphs.cli.arguments import unknown
from graphs.knowledge import graph as building
from graphs.knowledge import structure as structuring
from graphs.runtime.checkpointer import RUNS_VARIABLE
from graphs.search import graph as searching

__all__ = ["candidate", "chat", "knowledge", "search", "structure"]

_LANGGRAPH_NAMES = ("thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map")
"""LangGraph's own names, which clients that send no settings put beside them."""


class RunSettings(RunContext):
    """All that decides a run. Its folder lies in ``FAIRNAD_RUNS``, unless ``runs`` names another one."""

    runs: str = Field(
        os.environ.get(RUNS_VARIABLE, RunContext.model_fields["runs"].default),
        description=RunContext.model_fields["runs"].description,
    )


def _served(graph: StateGraph[Any, Any, Any, Any], name: str, settings: type[BaseModel]) -> Callable[..., Any]:
    compiled = graph.compile(name=name)

    def make(runtime: ServerRuntime[Any]) -> Any:
        if runtime.execution_runtime is not None:
            check_settings(runtime.execution_runtime.context or {}, settings)
        return compiled

    return make


def check_settings(given: dict[str, Any], settings: type[BaseModel]) -> None:
    """Refuse settings that a graph does not know or cannot use.

    Raises:
        SettingsError: there is one; the message says which, in one line, with the nearest name that there is.
    """
    try:
        settings.model_validate({name: value for name, value in given.items() if name not in _LANGGRAPH_NAMES})
    except ValidationError as error:
        raise SettingsError(_first_line(error, settings)) from error


def _first_line(error: ValidationError, settings: type[BaseModel]) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return unknown("setting", name, _names(settings))
    if first["type"] == "value_error":
        return ": ".join(filter(None, (name, first["msg"].removeprefix("Value error, "))))
    return f"{name}: {first['msg'][0].lower()}{first['msg'][1:]}, found {first['input']!r}"


def _names(settings: type[BaseModel], before: str = "") -> list[str]:
    names = []
    for name, field in settings.model_fields.items():
        names.append(before + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += _names(field.annotation, f"{before}{name}.")
    return names


search = _served(searching.build(RunSettings), "search", RunSettings)
candidate = _served(single_idea.build(RunSettings), "candidate", RunSettings)
structure = _served(structuring.build(), "structure", KnowledgeContext)
knowledge = _served(building.build(), "knowledge", KnowledgeContext)
chat = _served(chatting.build(RunSettings), "chat", RunSettings)
