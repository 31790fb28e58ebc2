"""Whether the isolation of this machine is enough for who writes the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairnad.errors import SettingsError
from fairnad.settings.search_settings import RunContext
from graphs.runtime.roles import cast

if TYPE_CHECKING:
    from tools.sandbox.isolation import Level


def refuse_weak_isolation(context: RunContext, level: Level) -> None:
    """A language model's code runs below level C only where the user says so.

    Raises:
        SettingsError: it would, and the user has not.
    """
    if level.is_weak and any(cast(context).values()) and not context.lab.allow_weak_isolation:
        raise SettingsError(
            f"--lab.isolation: expected at least C for code a language model writes, found {level} ({level.layers}); "
            "see docs/isolation.md, or accept it by --lab.allow-weak-isolation true"
        )


def isolation_text(context: RunContext, level: Level) -> str:
    """One line for the beginning of a search."""
    policy = "" if context.lab.source_policy else "; sources are not held to the policy"
    if not level.is_weak:
        return f"Isolation {level}: {level.layers}{policy}."
    author = (
        "accepted by --lab.allow-weak-isolation" if any(cast(context).values()) else "built-in roles write the code"
    )
    return f"Isolation {level}: {level.layers}; {author}{policy}. See docs/isolation.md."
