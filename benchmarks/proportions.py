"""Proportions with confidence intervals."""

from __future__ import annotations

from math import sqrt

_Z = 1.959964
"""Standard deviations that cover 95% of a normal distribution."""


def wilson(num_hits: int, num_tries: int) -> tuple[float, float]:
    """The 95% Wilson interval of a proportion, in [0, 1]; the whole interval without tries.

    Raises:
        ValueError: more hits than tries, or fewer than 0.
    """
    if not 0 <= num_hits <= num_tries:
        raise ValueError(f"expected 0 to {num_tries} hits, found {num_hits}")
    if num_tries == 0:
        return 0.0, 1.0
    share, spread = num_hits / num_tries, _Z**2 / num_tries
    middle = (share + spread / 2) / (1 + spread)
    half = _Z * sqrt(share * (1 - share) / num_tries + spread / (4 * num_tries)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def share_text(num_hits: int, num_tries: int) -> str:
    """``7 of 12, 58% (32 to 81%)``: the share with its interval."""
    if num_tries == 0:
        return "0 of 0"
    low, high = wilson(num_hits, num_tries)
    return f"{num_hits} of {num_tries}, {num_hits / num_tries:.0%} ({100 * low:.0f} to {high:.0%})"
