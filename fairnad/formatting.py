"""Formats numbers and records for people."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from statistics import mean, stdev

from fairnad.records.history import PassRate, Record


def record_line(record: Record) -> str:
    """The outcome of a candidate in one line."""
    if record.evaluation is not None:
        costs = "  ".join(f"{quantity_text(cost):>5} {name}" for name, cost in record.evaluation.costs.items())
        return f"{record.candidate_id:<21} accuracy {record.evaluation.accuracy:.4f}  {costs}"
    assert record.failure is not None
    return f"{record.candidate_id:<21} {record.failure.step}: {record.failure.kind}"


def count_text(number: int, noun: str) -> str:
    """A number with its noun, for example ``3 trainings``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def rate_text(rate: PassRate) -> str:
    """A pass rate with its n."""
    return f"{rate.value:.2f} (n={rate.num_draws})" if rate.value is not None else "- (n=0)"


def quantity_text(value: float) -> str:
    """A number with three digits and k, M or G."""
    rounded = float(f"{value:.3g}")  # before the unit is chosen: 999,900 is 1M
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if rounded >= scale:
            return f"{rounded / scale:.3g}{unit}"
    return f"{rounded:.3g}"


def duration_text(seconds: float) -> str:
    """Seconds as hours, minutes and seconds, without leading zeros."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def rough_duration_text(seconds: float) -> str:
    """Seconds with the precision of a forecast."""
    for unit, name, most in ((1, "s", 90), (60, "min", 90), (3600, "h", 48)):
        if seconds < most * unit:
            return f"{max(seconds / unit, 1):.0f} {name}"
    return f"{seconds / 86400:.0f} days"


def signed_text(value: float, digits: int = 4) -> str:
    """A difference with its sign."""
    return f"{value:+.{digits}f}"


def share_text(share: float, digits: int = 0) -> str:
    """A share in percent. Rounding never turns a share below or above 1 into 100%."""
    scale = 10**digits
    percent = round(share * 100 * scale, 6)
    return f"{(math.floor(percent) if percent < 100 * scale else math.ceil(percent)) / scale:.{digits}f}%"


def signed_share_text(change: float) -> str:
    """A relative change in percent with its sign."""
    return f"{'-' if change < 0 else '+'}{share_text(abs(change))}"


def printable(text: str) -> str:
    """Escape control characters and lone surrogates: sources and messages come from language models and jobs."""
    odd = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]"
    return re.sub(odd, lambda found: f"\\x{ord(found[0]):02x}", text.replace("\r\n", "\n"))


def spread_text(values: Sequence[float]) -> str:
    """Mean ± standard deviation with n; a dash without values."""
    if not values:
        return "–"
    deviation = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{mean(values):.4f}{deviation} (n={len(values)})"
