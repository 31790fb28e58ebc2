"""Checks that the isolation level is strong enough for the author of the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairnad.errors import SettingsError
from fairnad.settings.casting import asks_model
from fairnad.settings.search_settings import RunContext

if TYPE_CHECKING:
    from tools.sandbox.isolation import Level


def refuse_weak_isolation(context: RunContext, level: Level) -> None:
    """Refuse a level below C for code of a language model, unless the user accepts this level.

    Raises:
        SettingsError: the level is below C, and ``--lab.isolation`` does not name it.
    """
    if level.is_weak and asks_model(context) and context.lab.isolation != level.name:
        raise SettingsError(
            f"--lab.isolation: expected at least C for code a language model writes, found {level} ({level.layers}); "
            f"see docs/isolation.md, or accept this level with --lab.isolation {level}"
        )


def isolation_text(context: RunContext, level: Level) -> str:
    """One line about isolation for the start of a search."""
    policy = "" if context.lab.source_policy else "; the source policy is off"
    if not level.is_weak:
        return f"Isolation {level}: {level.layers}{policy}."
    author = f"accepted with --lab.isolation {level}" if asks_model(context) else "built-in roles write the code"
    return f"Isolation {level}: {level.layers}; {author}{policy}. See docs/isolation.md."
