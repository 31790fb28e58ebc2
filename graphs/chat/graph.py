"""The chat's graph: understand → retrieve → answer. No step chooses the next, and none has a tool that could write."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from pydantic import TypeAdapter

from fairnad.ideas.conversation import Evidence, Librarian, Turn, Understanding
from fairnad.records.candidate import plain
from fairnad.settings.search_settings import RunContext
from graphs.chat.retrieval import retrieve as look_up
from graphs.chat.shelf import open_shelf
from graphs.chat.state import KEPT_TURNS, ChatInput, ChatState, ChatUpdate
from graphs.runtime.replay import refuse_replay
from graphs.runtime.roles import cast, players

UNDERSTANDING = TypeAdapter(Understanding)
EVIDENCE = TypeAdapter(tuple[Evidence, ...])
_ROLES = ("librarian",)
_TURNS = TypeAdapter(tuple[Turn, ...])


async def understand(state: ChatState, runtime: Runtime[RunContext]) -> ChatUpdate:
    """The last message as something that can be looked up."""
    context = runtime.context
    question = _text(state["messages"][-1]) if state["messages"] else ""
    async with librarian(context) as player:
        understood = await player.understand(question, _earlier(state, context))
    return {"question": question, "understood": plain(understood), "evidence": [], "answer": "", "cited": []}


async def retrieve(state: ChatState, runtime: Runtime[RunContext]) -> ChatUpdate:
    """What the ideas and the run say to it."""
    asked = UNDERSTANDING.validate_python(state["understood"])
    return {"evidence": plain(await asyncio.to_thread(look_up, runtime.context, asked))}


async def answer(state: ChatState, runtime: Runtime[RunContext]) -> ChatUpdate:
    """The answer, and the turn that later questions may refer to."""
    context, question = runtime.context, state["question"]
    asked = UNDERSTANDING.validate_python(state["understood"])
    evidence = EVIDENCE.validate_python(state["evidence"])
    async with librarian(context) as player:
        reply = await player.answer(question, asked, evidence, _earlier(state, context))
    turn = Turn(question, asked, reply.text, reply.cited)
    return {
        "messages": [AIMessage(reply.text)],
        "answer": reply.text,
        "cited": list(reply.cited),
        "notes": [*asked.notes, *reply.notes],
        "answered_by": players(context, _ROLES)["librarian"],
        "turns": [*state.get("turns", []), plain(turn)][-KEPT_TURNS:],
    }


@contextlib.asynccontextmanager
async def librarian(context: RunContext) -> AsyncIterator[Librarian]:
    """Whoever understands and answers under these settings.

    Raises:
        SettingsError: a language model is asked for, and none is configured; or answers are to be replayed.
        UserError: the pack or the ideas cannot be read.
    """
    from agents.builtin.librarian import BuiltinLibrarian

    refuse_replay(context.llm)
    pack = (await asyncio.to_thread(open_shelf, context)).pack
    built_in = BuiltinLibrarian(pack)
    if not cast(context, _ROLES)["librarian"]:
        yield built_in
        return
    from agents.librarian import LanguageModelLibrarian
    from agents.llm.call_memory import CallMemory
    from agents.llm.client import LanguageModel

    model = LanguageModel(context.llm, CallMemory())
    try:
        yield LanguageModelLibrarian(model, pack, built_in)
    finally:
        await model.aclose()


def _earlier(state: ChatState, context: RunContext) -> tuple[Turn, ...]:
    num_turns = context.chat.turns
    return _TURNS.validate_python(state.get("turns", [])[-num_turns:] if num_turns else [])


def _text(message: AnyMessage) -> str:
    return str(message.text).strip()


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
