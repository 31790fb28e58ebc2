"""The report of a structuring, as Markdown: the tree with its support, and everything that was changed and why."""

from __future__ import annotations

from collections.abc import Sequence

from fairnad.ideas.knowledge import Problem
from fairnad.ideas.structuring import Change, ChangeKind, Structuring

_FAILURE_KINDS = {
    "Overly specific attributes": (ChangeKind.ONE_MODEL_KEPT, ChangeKind.ONE_MODEL_DROPPED),
    "Inconsistent categorization": (ChangeKind.SEVERAL_CATEGORIES,),
    "Missing attributes": (ChangeKind.EMPTY,),
}
"""The three kinds of failure the paper names (C.2)."""


def report_text(result: Structuring, models: Sequence[str], problems: Sequence[Problem]) -> str:
    """The whole report."""
    num_sub = sum(map(len, result.tree.categories.values()))
    lines = [
        "# Attribute structuring",
        "",
        f"{len(models)} reference models: {', '.join(models)}.",
        f"{len(result.tree.categories)} main categories, {num_sub} sub-categories.",
        "",
    ]
    for problem in problems:
        lines.append(f"- {problem.where}: {problem.kind}. {problem.message}")
    lines += ["", "## Tree", "", "The number is that of the models behind an attribute.", ""]
    for category, subs in result.tree.categories.items():
        told = ", ".join(f"{sub} ({result.support[f'{category} / {sub}']})" for sub in subs)
        lines.append(f"- {category}: {told or '-'}")
    lines += ["", "## Failures the paper names", ""]
    named = {kind for kinds in _FAILURE_KINDS.values() for kind in kinds}
    for title, kinds in _FAILURE_KINDS.items():
        lines += _section(f"### {title}", [change for change in result.changes if change.kind in kinds])
    lines += ["## Cleaned up", ""]
    for kind in ChangeKind:
        if kind not in named:
            lines += _section(f"### {kind.capitalize()}", [change for change in result.changes if change.kind is kind])
    return "\n".join(lines).rstrip() + "\n"


def _section(heading: str, changes: Sequence[Change]) -> list[str]:
    if not changes:
        return [heading, "", "None.", ""]
    return [heading, "", *map(_line, changes), ""]


def _line(change: Change) -> str:
    parts = [f"- {change.name or 'empty'}: {change.category}", change.detail and f"→ {change.detail}"]
    models = f"[{', '.join(change.models)}]" if change.models else ""
    return " ".join(part for part in (*parts, models) if part)
