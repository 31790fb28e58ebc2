"""Progress of work that takes a while, as events in the custom stream of the graph that does it.

A :class:`Ticker` writes one event when a piece of its work starts to wait, starts to run or ends, and one every
:data:`TICK_SECONDS` in between. Every event describes all pieces, so a reader needs only the last one::

    {"progress": {"doing": "retrain", "num_done": 3, "num_all": 12, "seconds_left": 41.0,
                  "running": [{"candidate_id": "g01-fair-r1-s03-d0", "seed": 2,
                               "elapsed_seconds": 4.1, "expected_seconds": 9.5}],
                  "queued": [{"candidate_id": "g00-base-r1-s00-d0", "seed": 1, ...}]}}

``doing`` is ``open`` (images are read, the lab starts), a step of a candidate (``mutate``, ``execute``, ``debug``,
``downscale``, ``judge``, ``train``) or of the end of a search (``promote``, ``retrain``, ``hold out``, ``write``).
``queued`` are trainings that wait for a slot. A piece of ``write`` has ``file`` in the place of ``candidate_id`` and
``seed``, one of ``open`` has ``run``. ``expected_seconds`` and ``seconds_left`` are forecasts, ``None`` where there is
none.
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
"""How often an event is written while nothing changes."""


@dataclass(eq=False, slots=True)
class Piece:
    """One piece of the work; it waits or runs ``since`` a time of the monotonic clock."""

    names: dict[str, Any]
    expected_seconds: float | None
    is_running: bool
    on_start: Callable[[], None]
    since: float = field(default_factory=time.monotonic)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The piece has got what it waited for, and runs."""
        self.is_running, self.since = True, time.monotonic()
        self.on_start()
        try:
            yield
        finally:
            # Not worth an event: it is done in a moment, unless it has to wait again.
            self.is_running, self.since = False, time.monotonic()

    def seconds_left(self, now: float) -> float | None:
        """Until it has run for as long as expected, ``None`` where nothing is expected."""
        if self.expected_seconds is None:
            return None
        return max(self.expected_seconds - (now - self.since if self.is_running else 0.0), 0.0)

    def facts(self, now: float) -> dict[str, Any]:
        """As an event lists it."""
        expected = None if self.expected_seconds is None else round(self.expected_seconds, 1)
        return self.names | {"elapsed_seconds": round(now - self.since, 1), "expected_seconds": expected}


class Ticker:
    """Writes the progress of pieces of work that a node waits for; a context manager, open while it waits."""

    def __init__(self, doing: str, *, num_slots: int | None = None, num_all: int = 1, patience: float = 0.0) -> None:
        """Nothing is written yet.

        Args:
            doing: what is done, as events name it.
            num_slots: how many pieces can run at a time, which are queued until then; ``None``: all run at once.
            num_all: how many pieces there will be.
            patience: seconds before the first event, unless a piece gets its slot; work that ends earlier is silent.
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
        """A piece of the work, from when it could begin until it is done; ``names`` say which."""
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
        """The work that is left, shared out among the slots, but no less than its longest piece.

        Pieces of which nothing is expected, and those to come, count as much as the others do on average.
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
    """A ticker for so many pieces that share the slots; silent where all of them were done before."""
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
    """A ticker for work of a single piece."""
    async with Ticker(doing, num_slots=num_slots, patience=patience) as ticker:
        with ticker.piece(expected_seconds=expected_seconds, **names) as piece:
            yield piece


def _stream_writer() -> Callable[[Any], None] | None:
    """The custom stream of the node that runs this code, ``None`` outside a graph."""
    from langgraph.config import get_stream_writer

    try:
        return get_stream_writer()
    except RuntimeError:
        return None
