"""Utilisation of the lab's slots."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SlotUse:
    """Seconds in which trainings held a slot (``busy_seconds``), and seconds in which the slots existed.

    ``slot_seconds`` is the number of slots times the seconds from the start of the first training to the end of the
    last. Values add up over the starts of a run.
    """

    busy_seconds: float = 0.0
    slot_seconds: float = 0.0

    def __add__(self, other: SlotUse) -> SlotUse:
        return SlotUse(self.busy_seconds + other.busy_seconds, self.slot_seconds + other.slot_seconds)

    @property
    def idle_share(self) -> float | None:
        """The share of time in which slots were idle, in [0, 1]; ``None`` without a training."""
        return 1 - self.busy_seconds / self.slot_seconds if self.slot_seconds else None
