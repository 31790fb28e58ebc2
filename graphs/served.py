"""The graphs a LangGraph server serves, named by ``langgraph.json``; bare, since the server brings the checkpointer.

A server looks names up in a module's dictionary, where the lazy ``graph`` of :mod:`graphs.search` is not found.
"""

from __future__ import annotations

from graphs.building.structure import graph as structure
from graphs.candidate import graph as candidate
from graphs.chat.graph import graph as chat
from graphs.knowledge import graph as knowledge
from graphs.search import graph as search

__all__ = ["candidate", "chat", "knowledge", "search", "structure"]
