"""Paths a person gives, and the home folder some of them begin with."""

from __future__ import annotations

import os
from pathlib import Path


def given_path(text: str) -> Path:
    """The path a person gives; ``~`` stays as it is where there is no such home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def ensure_home() -> None:
    """Name a home folder, in which nothing can lie, where the machine knows none: some packages ask for one."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = os.devnull
