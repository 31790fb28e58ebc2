"""The players of the roles. Names of roles and players come from the table of roles."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from fairnad.roles import ROLES, check_names
from fairnad.settings.sections import Section


class PlayerSettings(Section):
    """The player of each role; ``auto`` for roles that are not listed."""

    players: dict[str, str] = Field(
        {},
        description="who plays which role, each ROLE=PLAYER, for example mutator=llm,debugger=builtin-then-llm; "
        f"roles: {', '.join(ROLES)}",
    )

    @field_validator("players")
    @classmethod
    def _are_known(cls, players: dict[str, str]) -> dict[str, str]:
        check_names(players)
        for role, player in players.items():
            if player not in ROLES[role].players:
                raise ValueError(f"{role}: expected one of {', '.join(ROLES[role].players)}, found {player}")
        return {role: player for role, player in players.items() if player != "auto"}

    def player_of(self, role: str) -> str:
        """The player of a role; ``auto`` if the settings name none."""
        return self.players.get(role, "auto")


class AgentSettings(PlayerSettings):
    """How the roles of a search work."""

    mode: Literal["best", "paper"] = Field(
        "best",
        description="best: uses the cheapest role that works; paper: a language model in every role, as in the paper",
    )
    edit_format: Literal["full", "edit", "module", "auto"] = Field(
        "auto",
        description="how a language model writes a mutation: the full file, edits of the parent, or only a new module; "
        "auto: the format that has worked best",
    )
