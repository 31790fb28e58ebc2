"""How many files a process must be allowed to have open, and what is said where it may not."""

from __future__ import annotations

NEEDED = 256
"""Descriptors: a search has 20 to 60 open, a job of the sandbox may have this many."""


def shortage_text(limit: int) -> str:
    """The one line for a limit that is too low or used up."""
    return (
        f"expected to be allowed at least {NEEDED} open files (file descriptors), found a limit of {limit}: "
        "raise it with `ulimit -n 1024`, then run the same command again"
        if limit < NEEDED
        else f"all {limit} open files (file descriptors) this process is allowed are in use: "
        f"raise the limit with `ulimit -n {4 * limit}`, then run the same command again"
    )


def is_short(limit: int) -> bool:
    """Whether a limit, as ``getrlimit`` gives it, is too low; a negative one means no limit."""
    return 0 <= limit < NEEDED
