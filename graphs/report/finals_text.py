"""What the finals say about the search, in one sentence."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fairnad.search.finals import Finals


def verdict_text(finals: Finals) -> str:
    """Whether the winner is ahead of the control, or of the base, by more than the noise."""
    reference = finals.base_title
    if finals.winner_id == finals.base_id:
        what = "the control, the base widened to the limits" if finals.control_id else "the base"
        return f"No finalist has a higher mean validation accuracy than {what}: it is the result."
    compared = finals.comparison
    if compared is None:
        return f"Winner and {reference} trained with no seed in common: they cannot be compared."
    images = "held-out images" if compared.images == "held out" else "validation images"
    difference = compared.difference
    points = f"{100 * difference.mean:+.1f}"
    if difference.deviation is None or difference.low is None or difference.high is None:
        return f"Winner − {reference}: {points} points on {images}, one seed; that says nothing about the noise."
    spread = (
        f"± {100 * difference.deviation:.1f} points on {images} (mean ± s.d. of {difference.n} paired seeds, "
        f"95% interval {100 * difference.low:+.1f} to {100 * difference.high:+.1f})"
    )
    if difference.exceeds_noise:
        return f"The winner is ahead of the {reference} by {points[1:]} {spread}."
    where = "within the noise of" if (difference.high > 0) else "behind"
    return f"The winner is {where} the {reference}: {points} {spread}."


def comparison_facts(finals: Finals | None) -> dict[str, Any] | None:
    """The same for programs.

    ``with`` (``control`` or ``base``), ``images`` (``held out`` or ``validation``), ``mean``, ``n``, ``deviation``,
    ``low`` and ``high`` (the 95% interval; accuracies in [0, 1]), ``exceeds_noise`` and ``text``; ``None`` before the
    finals. Where the base itself won, ``with`` and ``text`` alone.
    """
    if finals is None:
        return None
    told: dict[str, Any] = {"with": finals.base_title, "text": verdict_text(finals)}
    compared = finals.comparison
    if compared is None:
        return told
    difference = compared.difference
    return told | {"images": compared.images, **asdict(difference), "exceeds_noise": difference.exceeds_noise}
