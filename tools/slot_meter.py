"""Measures how long trainings hold their slots."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from fairnad.records.slot_use import SlotUse


class SlotMeter:
    """Sums up the time of all trainings that hold a slot."""

    def __init__(self) -> None:
        self._num_running = 0
        self._busy_seconds = 0.0
        self._first: float | None = None
        self._last = 0.0
        """End of the counted time: the last start or end of a training."""

    @contextmanager
    def busy(self) -> Iterator[None]:
        """A training holds a slot."""
        self._count(time.monotonic())
        self._num_running += 1
        try:
            yield
        finally:
            self._count(time.monotonic())
            self._num_running -= 1

    def take(self, num_slots: int) -> SlotUse:
        """The use since the first training, up to the end of the last or, if one runs, to now; resets the meter."""
        if self._num_running:
            self._count(time.monotonic())
        use = SlotUse() if self._first is None else SlotUse(self._busy_seconds, num_slots * (self._last - self._first))
        self._busy_seconds, self._first = 0.0, self._last if self._num_running else None
        return use

    def _count(self, now: float) -> None:
        if self._first is None:
            self._first = self._last = now
        self._busy_seconds += self._num_running * (now - self._last)
        self._last = now
