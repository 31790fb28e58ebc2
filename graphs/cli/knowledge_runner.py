"""Runs a knowledge graph from the command line: progress, stop, resume."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fairnad.settings.knowledge_settings import KnowledgeContext
from graphs.cli.stop_signals import stop_signals
from graphs.knowledge.services import REGISTRY

if TYPE_CHECKING:
    from langgraph.graph.state import StateGraph

_MOST_STEPS = 1_000_000
"""LangGraph's limit on steps; a build takes three per wave."""

Show = Callable[[dict[str, Any]], None]


def run_graph(graph: StateGraph[Any, Any, Any, Any], context: KnowledgeContext, show: Show) -> dict[str, Any] | int:
    """The final state of a graph, or 130 or 143 if it was stopped. Finished steps are never repeated.

    Args:
        show: called with the state after every step.

    Raises:
        FairnadError: the build cannot start or continue.
    """
    return asyncio.run(_run(graph, context, show))


async def _run(graph: StateGraph[Any, Any, Any, Any], context: KnowledgeContext, show: Show) -> dict[str, Any] | int:
    try:
        await REGISTRY.get(context)
        work = asyncio.ensure_future(_follow(graph, context, show))
        with stop_signals() as stopping:
            futures: set[asyncio.Future[Any]] = {work, stopping}
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work
        if work.cancelled():
            print("stopped; the same command continues", file=sys.stderr)
            return 128 + stopping.result()
        return work.result()
    finally:
        await REGISTRY.release(context)


async def _follow(graph: StateGraph[Any, Any, Any, Any], context: KnowledgeContext, show: Show) -> dict[str, Any]:
    compiled = graph.compile()
    state: dict[str, Any] = {}
    stream = compiled.astream({}, {"recursion_limit": _MOST_STEPS}, context=context, stream_mode="values")
    async for values in stream:
        state = dict(values)
        show(state)
    return state
