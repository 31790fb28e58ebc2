"""Ancestors and children of a candidate, its gain over its parent, and how two candidates differ."""

from __future__ import annotations

import difflib
import re

from fairnad.records.history import History, Record


def accuracy_change(first: Record, second: Record) -> float | None:
    """The gain of the second in the objective; ``None`` unless both were trained, and by the same recipe."""
    if first.evaluation is None or second.evaluation is None:
        return None
    if first.evaluation.recipe_digest != second.evaluation.recipe_digest:
        return None
    return second.evaluation.objective.gain(second.evaluation.accuracy, first.evaluation.accuracy)


def gain(history: History, record: Record) -> float | None:
    """The gain over the parent in the objective; ``None`` unless both were trained, and by the same recipe."""
    parent = history.get(record.parent_id)
    return None if parent is None else accuracy_change(parent, record)


def lineage(history: History, descendant: Record | None) -> list[Record]:
    """The ancestors of a record, oldest first, followed by the record; empty for ``None``."""
    line: dict[str, Record] = {}
    record = descendant
    while record is not None and record.candidate_id not in line:
        line[record.candidate_id] = record
        record = history.get(record.parent_id)
    return list(reversed(line.values()))


def children(history: History, record: Record) -> list[Record]:
    """All candidates made from a record."""
    return [other for other in history.drawn if other.parent_id == record.candidate_id]


def rank(history: History, record: Record) -> int | None:
    """The rank by accuracy, from 1; ``None`` for records that are not ranked: untrained ones and usually the base."""
    return history.ranking.index(record) + 1 if record in history.ranking else None


def diff_lines(first: Record, second: Record) -> list[str]:
    """The lines of a unified diff of two sources; empty if they are equal."""
    before, after = (record.source.replace("\r\n", "\n").splitlines() for record in (first, second))
    names = (f"{first.candidate_id}.py", f"{second.candidate_id}.py")
    return list(difflib.unified_diff(before, after, *names, lineterm=""))


def cost_changes(first: Record, second: Record) -> dict[str, tuple[float, float]]:
    """(first, second) for each cost that both records have."""
    if first.evaluation is None or second.evaluation is None:
        return {}
    costs, others = first.evaluation.costs, second.evaluation.costs
    return {name: (costs[name], others[name]) for name in costs if name in others}


def class_names(record: Record) -> set[str]:
    """The names of the top-level classes of a source, which may have syntax errors."""
    return set(re.findall(r"^class\s+(\w+)", record.source, re.MULTILINE))
