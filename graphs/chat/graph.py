"""The chat graph: understand → retrieve → answer. The steps are fixed; no step calls a tool."""

from __future__ import annotations

import asyncio

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from pydantic import TypeAdapter

from fairnad.ideas.conversation import Evidence, Turn, Understanding
from fairnad.records.candidate import plain
from fairnad.settings.casting import name_players
from fairnad.settings.search_settings import RunContext
from graphs.chat.retrieval import retrieve as look_up
from graphs.chat.services import REGISTRY
from graphs.chat.state import KEPT_TURNS, ChatInput, ChatState

UNDERSTANDING = TypeAdapter(Understanding)
EVIDENCE = TypeAdapter(tuple[Evidence, ...])
_EARLIER_TURNS = 4
"""Turns that a question may refer to."""
_TURNS = TypeAdapter(tuple[Turn, ...])


async def understand(state: ChatState, runtime: Runtime[RunContext]) -> ChatState:
    """Turn the last message into a query."""
    context = runtime.context
    question = str(state["messages"][-1].text).strip() if state["messages"] else ""
    services = await REGISTRY.get(context)
    understood = await services.librarian.understand(question, _earlier(state, context))
    return {"question": question, "understood": plain(understood), "evidence": [], "answer": "", "cited": []}


async def retrieve(state: ChatState, runtime: Runtime[RunContext]) -> ChatState:
    """Look the query up in the ideas and the run."""
    asked = UNDERSTANDING.validate_python(state["understood"])
    services = await REGISTRY.get(runtime.context)
    return {"evidence": plain(await asyncio.to_thread(look_up, services, runtime.context, asked))}


async def answer(state: ChatState, runtime: Runtime[RunContext]) -> ChatState:
    """Answer from the evidence, and add the turn that later questions may refer to."""
    context, question = runtime.context, state["question"]
    asked = UNDERSTANDING.validate_python(state["understood"])
    evidence = EVIDENCE.validate_python(state["evidence"])
    services = await REGISTRY.get(context)
    reply = await services.librarian.answer(question, asked, evidence, _earlier(state, context))
    turn = Turn(question, asked, reply.text, reply.cited)
    return {
        "messages": [AIMessage(reply.text)],
        "answer": reply.text,
        "cited": list(reply.cited),
        "notes": [*asked.notes, *reply.notes],
        "answered_by": name_players(context, ("librarian",))["librarian"],
        "turns": [*state.get("turns", []), plain(turn)][-KEPT_TURNS:],
    }


def _earlier(state: ChatState, context: RunContext) -> tuple[Turn, ...]:
    return _TURNS.validate_python(state.get("turns", [])[-_EARLIER_TURNS:])


def build(settings: type[RunContext] = RunContext) -> StateGraph[ChatState, RunContext, ChatInput, ChatState]:
    """The graph of the chat."""
    graph = StateGraph(ChatState, context_schema=settings, input_schema=ChatInput)
    for node in (understand, retrieve, answer):
        graph.add_node(node)
    graph.add_edge(START, "understand")
    graph.add_edge("understand", "retrieve")
    graph.add_edge("retrieve", "answer")
    graph.add_edge("answer", END)
    return graph
