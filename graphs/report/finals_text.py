"""The outcome of the finals in one sentence."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fairnad.search.finals import Finals


def verdict_text(finals: Finals) -> str:
    """Say whether the winner is ahead of the control (or the base) by more than the noise."""
    reference = finals.base_title
    if finals.winner_id == finals.base_id:
        what = "the control, the base widened to the limits" if finals.control_id else "the base"
        return f"No finalist has a better mean validation {finals.objective.name} than {what}: it is the result."
    compared = finals.comparison
    if compared is None:
        return f"Winner and {reference} trained with no seed in common: they cannot be compared."
    images = "held-out images" if compared.images == "held out" else "validation images"
    difference = compared.difference
    scale, unit = finals.objective.scale, finals.objective.unit
    points = f"{scale * difference.mean:+.1f}"
    if difference.deviation is None or difference.low is None or difference.high is None:
        return f"Winner − {reference}: {points} {unit} on {images}, one seed; that says nothing about the noise."
    spread = (
        f"± {scale * difference.deviation:.1f} {unit} on {images} (mean ± s.d. of {difference.n} paired seeds, "
        f"95% interval {scale * difference.low:+.1f} to {scale * difference.high:+.1f})"
    )
    if difference.exceeds_noise:
        return f"The winner is ahead of the {reference} by {points[1:]} {spread}."
    where = "within the noise of" if (difference.high > 0) else "behind"
    return f"The winner is {where} the {reference}: {points} {spread}."


def comparison_facts(finals: Finals | None) -> dict[str, Any] | None:
    """The same as JSON data.

    ``with`` (``control`` or ``base``), ``images`` (``held out`` or ``validation``), ``mean``, ``n``, ``deviation``,
    ``low`` and ``high`` (the 95% interval; accuracies in [0, 1]), ``exceeds_noise`` and ``text``; ``None`` before the
    finals. If the base itself won, only ``with`` and ``text``.
    """
    if finals is None:
        return None
    facts: dict[str, Any] = {"with": finals.base_title, "text": verdict_text(finals)}
    compared = finals.comparison
    if compared is None:
        return facts
    difference = compared.difference
    return facts | {"images": compared.images, **asdict(difference), "exceeds_noise": difference.exceeds_noise}
