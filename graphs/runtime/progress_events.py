"""Progress of long work, as events in the custom stream of its graph.

A :class:`Ticker` writes an event when a piece of work starts to wait, starts to run or ends, and every
:data:`TICK_SECONDS` in between. Each event describes all pieces, so a reader needs only the last one::

    {"progress": {"doing": "retrain", "num_done": 3, "num_all": 12, "seconds_left": 41.0,
                  "running": [{"candidate_id": "g01-fair-r1-s03-d0", "seed": 2,
                               "elapsed_seconds": 4.1, "expected_seconds": 9.5}],
                  "queued": [{"candidate_id": "g00-base-r1-s00-d0", "seed": 1, ...}]}}

``doing`` is ``open`` (images are read, the lab starts), a step of a candidate (``mutate``, ``execute``, ``debug``,
``downscale``, ``judge``, ``train``) or of the end of a search (``promote``, ``retrain``, ``hold out``, ``write``).
``queued`` lists trainings that wait for a slot. A piece of ``write`` has ``file`` instead of ``candidate_id`` and
``seed``, a piece of ``open`` has ``run``. ``expected_seconds`` and ``seconds_left`` are forecasts, ``None`` if unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from statistics import mean
from types import TracebackType
from typing import Any, Self

TICK_SECONDS = 3.0
"""Seconds between events while nothing changes."""


@dataclass(eq=False, slots=True)
class Piece:
    """One piece of work; it waits or runs ``since`` a time of the monotonic clock, in seconds."""

    names: dict[str, Any]
    expected_seconds: float | None
    is_running: bool
    on_start: Callable[[], None]
    since: float = field(default_factory=time.monotonic)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The piece stops waiting and runs."""
        self.is_running, self.since = True, time.monotonic()
        self.on_start()
        try:
            yield
        finally:
            # No event: the piece ends soon, or waits again.
            self.is_running, self.since = False, time.monotonic()

    def seconds_left(self, now: float) -> float | None:
        """Expected seconds that are left, ``None`` if unknown."""
        if self.expected_seconds is None:
            return None
        return max(self.expected_seconds - (now - self.since if self.is_running else 0.0), 0.0)

    def facts(self, now: float) -> dict[str, Any]:
        """The piece as an entry of an event."""
        expected = None if self.expected_seconds is None else round(self.expected_seconds, 1)
        return self.names | {"elapsed_seconds": round(now - self.since, 1), "expected_seconds": expected}


class Ticker:
    """Writes the progress of the work that a node waits for; a context manager, open while the node waits."""

    def __init__(self, doing: str, *, num_slots: int | None = None, num_all: int = 1, patience: float = 0.0) -> None:
        """Write nothing yet.

        Args:
            doing: the name of the work in events.
            num_slots: number of pieces that run in parallel, others are queued; ``None``: unlimited.
            num_all: number of all pieces.
            patience: seconds before the first event, unless a piece gets its slot; shorter work writes no event.
        """
        self._doing = str(doing)
        self._num_slots = num_slots
        self._num_all = num_all
        self._patience = patience
        self._pieces: list[Piece] = []
        self._num_done = 0
        self._started = asyncio.Event()
        self._changed = asyncio.Event()
        self._write = _stream_writer()
        self._has_written = False
        self._ticking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._write is not None:
            self._ticking = asyncio.create_task(self._tick(self._write))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        if self._write is not None and error is None and (self._has_written or not self._patience):
            self._write(self._event())

    @contextlib.contextmanager
    def piece(self, *, expected_seconds: float | None = None, **names: Any) -> Iterator[Piece]:
        """A piece of work, open from when it can begin until it is done; ``names`` identify it."""
        piece = Piece(names, expected_seconds, self._num_slots is None, self._start)
        self._pieces.append(piece)
        self._changed.set()
        try:
            yield piece
        finally:
            self._pieces.remove(piece)
            self._num_done += 1
            self._changed.set()

    def _start(self) -> None:
        self._started.set()
        self._changed.set()

    async def _tick(self, write: Callable[[Any], None]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                await self._started.wait()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._changed.wait()
            self._changed.clear()
            if self._num_done < self._num_all:  # the last event is written when the node goes on
                write(self._event())
                self._has_written = True

    def _event(self) -> dict[str, Any]:
        now = time.monotonic()
        return {
            "progress": {
                "doing": self._doing,
                "num_done": self._num_done,
                "num_all": self._num_all,
                "seconds_left": self._seconds_left(now),
                "running": [piece.facts(now) for piece in self._pieces if piece.is_running],
                "queued": [piece.facts(now) for piece in self._pieces if not piece.is_running],
            }
        }

    def _seconds_left(self, now: float) -> float | None:
        """The remaining work divided by the slots, but no less than the longest piece.

        Pieces without an expectation, and future pieces, count as the mean of the others.
        """
        num_left = self._num_all - self._num_done
        if not num_left:
            return 0.0
        expected = [piece.expected_seconds for piece in self._pieces if piece.expected_seconds is not None]
        if not expected:
            return None
        known = [left for piece in self._pieces if (left := piece.seconds_left(now)) is not None]
        whole = sum(known) + (num_left - len(known)) * mean(expected)
        return round(max(whole / (self._num_slots or num_left), *known), 1)


def trainings(doing: str, num_slots: int, num_all: int) -> Ticker:
    """A ticker for pieces that share the slots; silent if ``num_all`` is 0."""
    return Ticker(doing, num_slots=num_slots, num_all=num_all, patience=TICK_SECONDS)


@contextlib.asynccontextmanager
async def ticking(
    doing: str,
    *,
    num_slots: int | None = None,
    patience: float = 0.0,
    expected_seconds: float | None = None,
    **names: Any,
) -> AsyncIterator[Piece]:
    """A ticker for a single piece of work."""
    async with Ticker(doing, num_slots=num_slots, patience=patience) as ticker:
        with ticker.piece(expected_seconds=expected_seconds, **names) as piece:
            yield piece


def _stream_writer() -> Callable[[Any], None] | None:
    """The custom stream of the current node, ``None`` outside a graph."""
    from langgraph.config import get_stream_writer

    try:
        return get_stream_writer()
    except RuntimeError:
        return None
