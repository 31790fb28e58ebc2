"""The limit on open files: how many a search needs, and the message if the limit is too low."""

from __future__ import annotations

NEEDED = 256
"""File descriptors. A search opens 20 to 60; a sandboxed job may open this many."""


def shortage_text(limit: int) -> str:
    """One line for a limit that is too low or used up."""
    return (
        f"expected to be allowed at least {NEEDED} open files (file descriptors), found a limit of {limit}: "
        "raise it with `ulimit -n 1024`, then run the same command again"
        if limit < NEEDED
        else f"all {limit} open files (file descriptors) this process is allowed are in use: "
        f"raise the limit with `ulimit -n {4 * limit}`, then run the same command again"
    )


def is_short(limit: int) -> bool:
    """Whether a limit from ``getrlimit`` is too low; negative means unlimited."""
    return 0 <= limit < NEEDED
