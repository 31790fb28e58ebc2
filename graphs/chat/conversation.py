"""A conversation with the chat's graph: questions in turn, answers streamed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from langchain_core.messages import AIMessageChunk, HumanMessage

from agents.librarian import citable
from agents.replies.citations import check_citations, settled_part
from fairnad.settings.search_settings import RunContext
from graphs.chat.graph import EVIDENCE, build
from graphs.chat.services import REGISTRY
from graphs.runtime.checkpointer import COMMON_FOLDER, thread_id
from store.run_folder import CHECKPOINTS_NAME

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver


class Conversation:
    """One thread of questions; an async context manager.

    A thread without a name ends with the process. A named thread is stored in the runs folder, with the checkpoints of
    the server's threads.
    """

    def __init__(self, context: RunContext, thread: str = "") -> None:
        self._context = context
        self._thread = thread
        self._opened = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._graph = build().compile(name="chat", checkpointer=await self._checkpointer())
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._opened.aclose()
        await REGISTRY.release(self._context)

    async def _checkpointer(self) -> BaseCheckpointSaver[Any]:
        from langgraph.checkpoint.memory import InMemorySaver
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        if not self._thread:
            return InMemorySaver()
        place = Path(self._context.runs) / COMMON_FOLDER / CHECKPOINTS_NAME
        place.parent.mkdir(parents=True, exist_ok=True)
        return await self._opened.enter_async_context(AsyncSqliteSaver.from_conn_string(str(place)))

    async def ask(self, question: str, show: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
        """The state of the conversation after the answer.

        Args:
            show: called with each piece of the streamed answer, without unknown ids; a built-in answer is one piece.

        Raises:
            UserError: the pack, the ideas or the run cannot be read.
            EndpointError: the endpoint does not answer.
        """
        config: RunnableConfig = {"configurable": {"thread_id": thread_id(f"chat/{self._thread}")}}
        stream = self._graph.astream(
            {"messages": [HumanMessage(question)]},
            config,
            context=self._context,
            stream_mode=["updates", "messages", "values"],
            durability="exit",
        )
        state: dict[str, Any] = {}
        shown = _Shown(show)
        part: Any  # its type depends on the mode
        async for mode, part in stream:
            if mode == "values":
                state = part
            elif mode == "updates" and "retrieve" in part:
                shown.known = citable(EVIDENCE.validate_python(part["retrieve"]["evidence"]))
            elif mode == "messages" and part[1].get("langgraph_node") == "answer":
                shown.hear(part[0])
        shown.finish(state["answer"])
        return state


class _Shown:
    """The part of a streamed answer that has been shown."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._heard = ""
        self._shown = ""
        self._message_id: str | None = None
        self.known: set[str] = set()

    def hear(self, message: object) -> None:
        """Add a token; an answer that restarts after an error is shown from its beginning."""
        if not isinstance(message, AIMessageChunk):
            return
        if message.id != self._message_id:
            self._message_id, self._heard = message.id, ""
            if self._shown:
                self._show(" …\n")
            self._shown = ""
        self._heard += str(message.text)
        self._go_on(check_citations(settled_part(self._heard), self.known).text)

    def finish(self, answer: str) -> None:
        """Show the rest of the answer, or all of it if it differs from the streamed one."""
        if not answer.startswith(self._shown):
            self._show(" …\n")
            self._shown = ""
        self._go_on(answer)

    def _go_on(self, text: str) -> None:
        if text.startswith(self._shown):
            self._show(text[len(self._shown) :])
            self._shown = text
