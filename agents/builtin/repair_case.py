"""What a repair is, and what it works on."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass

from agents.builtin.source_editor import Draft
from fairnad.records.candidate import Failure


@dataclass(frozen=True)
class Case:
    """What a repair works on: ``lines`` are those of the failing source the traceback names, innermost last."""

    draft: Draft
    failure: Failure
    parent: str
    lines: tuple[int, ...]
    failed: str

    def failing_classes(self) -> list[str]:
        """The classes the traceback passes through, innermost first; all of them where it names none."""
        found = self._traced()
        known = self.draft.reading.roles.classes
        named = [name for name in dict.fromkeys(found) if name in known and name != "Network"]
        return named or [name for name in known if name != "Network"]

    @property
    def innermost(self) -> str:
        """The class the traceback ends in, empty where it names none."""
        return next(iter(self._traced()), "")

    def _traced(self) -> list[str]:
        spans = {
            node.name: (node.lineno, node.end_lineno or node.lineno)
            for node in ast.parse(self.failed).body
            if isinstance(node, ast.ClassDef)
        }
        return [name for line in reversed(self.lines) for name, (first, last) in spans.items() if first <= line <= last]


@dataclass(frozen=True)
class Repair:
    """A cure. ``symptom`` is searched for in the failure's message and log; ``mend`` says what it did, else ``""``.

    What is certain changes nothing that the network was meant to be; the others make it another one that runs.
    """

    name: str
    symptom: re.Pattern[str]
    mend: Callable[[Case], str]
    is_certain: bool = True
