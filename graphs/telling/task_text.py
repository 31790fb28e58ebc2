"""What people are told about the images of a run before it begins."""

from __future__ import annotations

from collections.abc import Sequence

from fairnad.budget import Budget
from fairnad.task import TaskReport
from graphs.telling.wording import printable, quantity_text

_UNEVEN = 3
"""From this ratio of the largest class to the smallest on it is worth a sentence."""


def task_text(report: TaskReport, budgets: Sequence[Budget]) -> str:
    """One paragraph: what is trained, validated and held out, what was left out and why, and the limits."""
    place = f" ({report.place})" if report.place else ""
    counts = [f"{report.num_train:,} to train on", f"{report.num_validation:,} to validate"]
    if report.num_held_out is not None:
        counts.append(f"{report.num_held_out:,} held out")
    size = f"{report.image_size}×{report.image_size}"
    sentences = [f"Task {report.task}{place}: {len(report.class_counts)} classes, images of {size}: {_and(counts)}."]
    sentences += _left_out(report) + _uneven(report) + list(report.notices)
    limits = _and([f"{quantity_text(budget.limit)} {budget.unit}" for budget in budgets])
    return printable(" ".join([*sentences, f"Limits: {limits}."])).replace("\n", "\\x0a")


def _left_out(report: TaskReport) -> list[str]:
    if not report.left_out:
        return []
    parts = [
        f"{count:,} {reason} ({report.examples[reason][0]}{', …' if count > 1 else ''})"
        for reason, count in report.left_out.items()
    ]
    return [f"Files left out: {', '.join(parts)}."]


def _uneven(report: TaskReport) -> list[str]:
    if report.imbalance < _UNEVEN:
        return []
    by_count = sorted(report.class_counts, key=lambda name: report.class_counts[name])
    few, many = (f"{name} {report.class_counts[name]:,}" for name in (by_count[0], by_count[-1]))
    return [f"Classes are uneven, {report.imbalance:.3g} to 1 ({many}, {few})."]


def _and(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
