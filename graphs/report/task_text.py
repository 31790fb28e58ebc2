"""The images of a task in words: shown before a search, and in the model card."""

from __future__ import annotations

from collections.abc import Sequence

from fairnad.domain.budget import Budget
from fairnad.domain.task import TaskReport
from fairnad.formatting import printable, quantity_text

_UNEVEN = 3
"""The ratio of the largest to the smallest class above which the imbalance is mentioned."""

_MOST_CLASSES = 30
"""How many classes are named."""


def task_text(report: TaskReport, budgets: Sequence[Budget]) -> str:
    """One paragraph: the number of images in each split, files that are left out, and the limits."""
    place = f" ({report.place})" if report.place else ""
    counts = [f"{report.num_train:,} to train on", f"{report.num_validation:,} to validate"]
    if report.num_held_out is not None:
        counts.append(f"{report.num_held_out:,} held out")
    size = f"{report.image_size}×{report.image_size}"
    sentences = [f"Task {report.task}{place}: {len(report.class_counts)} classes, images of {size}: {_and(counts)}."]
    sentences += [f"Classes, with images to train on: {text}." for text in classes_text(report)]
    sentences += [f"Files left out: {text}." for text in left_out_text(report)]
    sentences += _uneven(report) + list(report.notices)
    limits = _and([f"{quantity_text(budget.limit)} {budget.unit}" for budget in budgets])
    return printable(" ".join([*sentences, f"Limits: {limits}."])).replace("\n", "\\x0a")


def classes_text(report: TaskReport) -> list[str]:
    """The first classes of the user's own images, with their number of training images."""
    if report.task != "folder":
        return []
    counts = [f"{name} ({count:,})" for name, count in report.class_counts.items()]
    more = [f"{len(counts) - _MOST_CLASSES} more"] if len(counts) > _MOST_CLASSES else []
    return [_and([*counts[:_MOST_CLASSES], *more])]


def left_out_text(report: TaskReport) -> list[str]:
    """How many files are left out, by reason and with an example; empty if none are."""
    parts = [
        f"{count:,} {reason} ({report.examples[reason][0]}{', …' if count > 1 else ''})"
        for reason, count in report.left_out.items()
    ]
    return [", ".join(parts)] if parts else []


def _uneven(report: TaskReport) -> list[str]:
    if report.imbalance < _UNEVEN:
        return []
    by_count = sorted(report.class_counts, key=lambda name: report.class_counts[name])
    few, many = (f"{name} {report.class_counts[name]:,}" for name in (by_count[0], by_count[-1]))
    return [f"Classes are uneven, {report.imbalance:.3g} to 1 ({many}, {few})."]


def _and(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
