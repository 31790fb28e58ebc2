"""The checks of the command ``doctor``: one module per part, each returns findings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """The result of a check."""

    OK = "OK"
    """fit"""
    WARN = "WARN"
    """a search can run, but more slowly, or only with other settings"""
    FAIL = "FAIL"
    """a search with these settings cannot run"""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; ``advice`` says what to do, empty if nothing."""

    part: str
    health: Health
    found: str
    advice: str = ""


def ok(part: str, found: str) -> Finding:
    """A finding ``OK``."""
    return Finding(part, Health.OK, found)


def warn(part: str, found: str, advice: str) -> Finding:
    """A finding ``WARN``."""
    return Finding(part, Health.WARN, found, advice)


def fail(part: str, found: str, advice: str) -> Finding:
    """A finding ``FAIL``."""
    return Finding(part, Health.FAIL, found, advice)
