"""Is everything a search needs in order? One module a part, each returning findings; ``doctor`` prints them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """How a part is."""

    OK = "OK"
    """fit"""
    WARN = "WARN"
    """a search can run, but not as well as it might, or not this one"""
    FAIL = "FAIL"
    """a search with these settings cannot run"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check-up; ``advice`` says what to do, empty where nothing needs to be done."""

    part: str
    health: Health
    found: str
    advice: str = ""


def ok(part: str, found: str) -> Finding:
    """All is well."""
    return Finding(part, Health.OK, found)


def warn(part: str, found: str, advice: str) -> Finding:
    """It could be better."""
    return Finding(part, Health.WARN, found, advice)


def fail(part: str, found: str, advice: str) -> Finding:
    """It must be mended."""
    return Finding(part, Health.FAIL, found, advice)
