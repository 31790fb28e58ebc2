"""Makes the players of a search's roles from the table of roles."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fairnad.domain.budget import Budget
from fairnad.ports import BUILT_IN, IdeaStore, Lab, Roles
from fairnad.roles import Role, roles_of
from fairnad.search.draw_choices import wanted_edit_format
from fairnad.settings.casting import cast_roles
from fairnad.settings.search_settings import RunContext

if TYPE_CHECKING:
    from agents.llm.client import LanguageModel
    from prompts.loader import Pack


def make_roles(
    context: RunContext,
    pack: Pack,
    model: LanguageModel | None,
    lab: Lab,
    budgets: Sequence[Budget],
    ideas: IdeaStore,
) -> Roles:
    """Create the player of each role.

    Args:
        model: ``None`` if no language model plays a role.
    """
    cast, table = cast_roles(context), roles_of("search")
    inputs: dict[str, Any] = {
        "model": model,
        "pack": pack,
        "edit_format": wanted_edit_format(context).replace("auto", "full"),
        "as_data": not (context.paper_mode or "structural_judge" in context.prompts),
        "check": lab.check,
        "budgets": budgets,
        "ideas": ideas,
        "actions": pack.actions,
        "library": pack.library,
        "upscaling_ideas": pack.upscaling_ideas,
        "adjustment_ideas": pack.adjustment_ideas,
    }
    players: dict[str, dict[str, Any]] = {"llm": {}, "builtin": {}}
    for name, role in table.items():
        if model is not None:
            players["llm"][name] = make_player(role.language_model, inputs)
        if any(player != "llm" for player in cast.values()):
            players["builtin"][name] = make_player(role.built_in, {**inputs, **players["builtin"]})
    names = {"llm": context.llm.title, "builtin": BUILT_IN}
    return Roles(**{name: _combine(role, cast[name], players, names, inputs) for name, role in table.items()})


def make_player(path: str, inputs: Mapping[str, Any]) -> Any:
    """Create an object of the class ``module:class``, with arguments by name from ``inputs``.

    The inputs include the built-in players of earlier roles in the table.
    """
    module, name = path.split(":")
    made = getattr(import_module(module), name)
    return made(**{name: inputs[name] for name in inspect.signature(made).parameters if name in inputs})


def _combine(
    role: Role, cast: str, players: Mapping[str, Mapping[str, Any]], names: Mapping[str, str], inputs: Mapping[str, Any]
) -> Any:
    """The player of a role, possibly with another player as its fallback."""
    from agents.fallback import Player

    order = ["builtin", "llm"] if cast == "both" else cast.split("-then-")
    if len(order) == 1:
        return players[order[0]][role.name]
    first, second = (Player(names[one], players[one][role.name]) for one in order)
    path = role.joint if cast == "both" else role.fallback
    return make_player(path, {**inputs, "first": first, "second": second, "method": role.method})
