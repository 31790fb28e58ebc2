"""Casting: the player of each role under given settings. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from fairnad.errors import SettingsError
from fairnad.ports import BUILT_IN
from fairnad.roles import ROLES, roles_of
from fairnad.settings.model_entries import LanguageModelSettings

SEARCH_ROLES = tuple(roles_of("search"))


class Settings(Protocol):
    """Settings that decide who plays each role, of a search or of a knowledge build."""

    @property
    def llm(self) -> LanguageModelSettings:
        """The language models."""

    @property
    def agents(self) -> Any:
        """The players of every role."""


def cast_roles(context: Settings, names: Iterable[str] = SEARCH_ROLES) -> dict[str, str]:
    """The player of each role: ``llm``, ``builtin`` or a mix of both, such as ``builtin-then-llm``.

    Raises:
        SettingsError: a role asks for a language model, and none is configured.
    """
    is_configured = bool(context.llm.title)
    is_paper = getattr(context.agents, "mode", "best") == "paper"
    cast: dict[str, str] = {}
    for name in names:
        wanted = context.agents.player_of(name)
        if wanted not in ("auto", "builtin") and not is_configured:
            raise SettingsError(
                f"--agents.players {name}={wanted}: no language model is configured; set --llm.model or --llm.models"
            )
        if wanted == "auto":
            best = "llm" if is_paper else ROLES[name].best
            wanted = best if is_configured else "builtin"
        cast[name] = wanted
    return cast


def asks_model(context: Settings, *names: str) -> bool:
    """Whether a language model plays in any of the roles; without names, in any role of a search.

    Raises:
        SettingsError: a role asks for a language model, and none is configured.
    """
    return any(player != "builtin" for player in cast_roles(context, names or SEARCH_ROLES).values())


def name_players(context: Settings, names: Iterable[str] = SEARCH_ROLES) -> dict[str, str]:
    """The player of each role for display: the language model's name, ``built-in``, or both in order."""
    model = context.llm.title
    words = {
        "llm": model,
        "builtin": BUILT_IN,
        "llm-then-builtin": f"{model}, then {BUILT_IN}",
        "builtin-then-llm": f"{BUILT_IN}, then {model}",
        "both": f"{BUILT_IN} and {model}",
    }
    return {name: words[player] for name, player in cast_roles(context, names).items()}


def describe_players(context: Settings) -> str:
    """The players of a search in one line."""
    if not asks_model(context):
        return "all roles built in, no language model (--llm.model sets one)"
    return "; ".join(f"{name.replace('_', ' ')}: {player}" for name, player in name_players(context).items())


def name_designers(context: Settings) -> str:
    """The names of all players of a search, without their roles."""
    players = set(cast_roles(context).values())
    names = [context.llm.title] * (players != {"builtin"}) + [BUILT_IN] * (players != {"llm"})
    return " + ".join(sorted(names))
