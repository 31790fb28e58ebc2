"""Stage III: the starting point of the next mutation of a chain (paper §4.3.3, F.2.4; Algorithm 2, lines 30–39)."""

from __future__ import annotations

from dataclasses import dataclass

from fairnad.records.history import History, Record, better


@dataclass(frozen=True, slots=True)
class Refinement:
    """One round of a chain: ``current`` is a_{t−1}, and ``previous`` is its parent a_{t−2}, ``None`` for the base."""

    current: Record
    previous: Record | None

    @property
    def improved(self) -> bool:
        """Whether the last mutation improved the objective; equal counts as degraded."""
        return self.previous is None or better(self.current, self.previous)

    @property
    def edited(self) -> Record:
        """The record to edit: the current one, or the previous one after a degradation."""
        return self.current if self.previous is None or self.improved else self.previous


def find_entry(history: History, candidate_id: str) -> Refinement:
    """FindEntry of Algorithm 2, line 34: the record and its trained parent."""
    current = history[candidate_id]
    previous = history.get(current.parent_id)
    return Refinement(current, previous if previous is not None and previous.trained else None)
