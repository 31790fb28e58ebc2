"""User-supplied paths, and the home folder."""

from __future__ import annotations

import os
from pathlib import Path

QUESTION_FORMS = Path(__file__).with_name("question_forms.yaml")
"""The forms of questions that the built-in librarian understands, in every domain."""


def given_path(text: str) -> Path:
    """The path of a setting; ``~`` is kept if there is no home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def ensure_home() -> None:
    """Set an empty home folder if the machine has none: some packages ask for one."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = os.devnull
