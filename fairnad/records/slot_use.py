"""How well the slots of the lab were used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SlotUse:
    """Seconds in which trainings of the search held a slot, of those the slots were there.

    ``slot_seconds`` are the slots times the seconds from the beginning of the first training to the end of the last.
    Uses add up over the sessions of a run.
    """

    busy_seconds: float = 0.0
    slot_seconds: float = 0.0

    def __add__(self, other: SlotUse) -> SlotUse:
        return SlotUse(self.busy_seconds + other.busy_seconds, self.slot_seconds + other.slot_seconds)

    @property
    def idle_share(self) -> float | None:
        """The part of the time the slots stood empty, in [0, 1]; ``None`` where nothing was trained."""
        return 1 - self.busy_seconds / self.slot_seconds if self.slot_seconds else None
