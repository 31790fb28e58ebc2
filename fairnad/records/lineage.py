"""Who descends from whom, and what each step gained."""

from __future__ import annotations

from fairnad.records.history import History, Record


def accuracy_change(first: Record, second: Record) -> float | None:
    """What the second gained in validation accuracy; ``None`` unless both were trained, and by the same recipe."""
    if first.evaluation is None or second.evaluation is None:
        return None
    if first.evaluation.recipe_digest != second.evaluation.recipe_digest:
        return None
    return second.evaluation.accuracy - first.evaluation.accuracy


def gain(history: History, record: Record) -> float | None:
    """Validation accuracy above the parent's; ``None`` unless both were trained, and by the same recipe."""
    parent = history.get(record.parent_id)
    return None if parent is None else accuracy_change(parent, record)


def lineage(history: History, descendant: Record | None) -> list[Record]:
    """The ancestors of a record, the oldest first, and the record itself; of none where there is none."""
    line: dict[str, Record] = {}
    record = descendant
    while record is not None and record.candidate_id not in line:
        line[record.candidate_id] = record
        record = history.get(record.parent_id)
    return list(reversed(line.values()))
