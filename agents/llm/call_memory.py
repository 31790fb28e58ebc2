"""Calls of a language model that are forgotten with the process."""

from __future__ import annotations

from dataclasses import dataclass, field

from fairnad.ports import Answer, CallKey


@dataclass
class CallMemory:
    """A :class:`fairnad.ports.CallLog` for calls that belong to no run; ``answers`` are kept in their order."""

    answers: list[Answer] = field(default_factory=list)

    def find_answer(self, key: CallKey) -> Answer | None:
        """Nothing: every call is a fresh one."""
        return None

    def add_answer(self, key: CallKey, answer: Answer) -> None:
        """Keep an answer."""
        self.answers.append(answer)
