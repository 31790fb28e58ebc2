"""The open bench of each knowledge folder in this process: the first node that asks opens it, the last closes it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from fairnad.settings.knowledge_settings import KnowledgeContext

if TYPE_CHECKING:
    from graphs.knowledge.services import KnowledgeBench

_open: dict[Path, asyncio.Task[KnowledgeBench]] = {}


async def bench_of(context: KnowledgeContext) -> KnowledgeBench:
    """The bench for these settings, opened by the first who asks.

    Raises:
        UserError: a setting, the pack, the tree or the folder cannot be used.
    """
    from graphs.knowledge.services import open_bench

    place = await _place(context)
    if place not in _open:
        _open[place] = asyncio.ensure_future(open_bench(context))
    try:
        return await asyncio.shield(_open[place])
    except Exception:
        _open.pop(place, None)
        raise


async def release(context: KnowledgeContext) -> None:
    """Close the bench of this folder; where none is open, nothing happens."""
    opening = _open.pop(await _place(context), None)
    if opening is not None:
        await (await opening).close()


async def _place(context: KnowledgeContext) -> Path:
    """The folder as an absolute path, which needs to be asked for off the event loop."""
    return await asyncio.to_thread(Path(context.out).absolute)
