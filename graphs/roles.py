"""Who plays each role: a language model or the built-in designer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairnad.budget import Budget
from fairnad.errors import SettingsError
from fairnad.ports import Debugger, Downscaler, IdeaMutator, IdeaStore, Lab, Mutator, StructuralJudge
from fairnad.settings import RunContext

if TYPE_CHECKING:
    from agents.llm import LanguageModel
    from prompts.loader import Pack

ROLES = ("mutator", "idea_mutator", "debugger", "downscaler", "structural_judge")


@dataclass(frozen=True, slots=True)
class Roles:
    """One player a role."""

    mutator: Mutator
    idea_mutator: IdeaMutator
    debugger: Debugger
    downscaler: Downscaler
    structural_judge: StructuralJudge


def cast(context: RunContext, roles: Sequence[str] = ROLES) -> dict[str, bool]:
    """For each role whether a language model plays it.

    Args:
        roles: those of a search, or the librarian, who plays in none.

    Raises:
        SettingsError: a role asks for a language model, and none is configured.
    """
    configured = bool(context.llm.model)
    players = {}
    for role in roles:
        wanted = getattr(context.agents, role)
        if wanted == "llm" and not configured:
            flag = role.replace("_", "-")
            raise SettingsError(f"--agents.{flag} llm: no language model is configured; set --llm.model")
        players[role] = configured if wanted == "auto" else wanted == "llm"
    return players


def players(context: RunContext, roles: Sequence[str] = ROLES) -> dict[str, str]:
    """Who plays each role: the language model's name, or ``built-in``."""
    return {role: context.llm.model if by_model else "built-in" for role, by_model in cast(context, roles).items()}


def describe(context: RunContext) -> str:
    """One line that says who designs."""
    if not any(cast(context).values()):
        return "all roles built in, no language model (--llm.model sets one)"
    return ", ".join(f"{role.replace('_', ' ')}: {player}" for role, player in players(context).items())


def make_roles(
    context: RunContext,
    pack: Pack,
    model: LanguageModel | None,
    lab: Lab,
    budgets: Sequence[Budget],
    ideas: IdeaStore,
) -> Roles:
    """The players :func:`cast` names. ``model`` may be ``None`` where none of them is a language model."""
    by_model = cast(context)
    casts = {}
    if model is not None:
        casts[True] = _language_model(context, pack, model, lab)
    if not all(by_model.values()):
        casts[False] = _built_in(pack, lab, budgets, ideas)
    return Roles(**{role: getattr(casts[by_model[role]], role) for role in ROLES})


def _language_model(context: RunContext, pack: Pack, model: LanguageModel, lab: Lab) -> Roles:
    from agents.debugger import LanguageModelDebugger
    from agents.downscaler import LanguageModelDownscaler
    from agents.idea_mutator import LanguageModelIdeaMutator
    from agents.mutator import LanguageModelMutator
    from agents.structural_judge import LanguageModelStructuralJudge

    form = context.agents.mutation_format
    return Roles(
        LanguageModelMutator(model, pack, "full" if form == "auto" else form, lab.check),
        LanguageModelIdeaMutator(model, pack),
        LanguageModelDebugger(model, pack),
        LanguageModelDownscaler(model, pack),
        LanguageModelStructuralJudge(model, pack),
    )


def _built_in(pack: Pack, lab: Lab, budgets: Sequence[Budget], ideas: IdeaStore) -> Roles:
    from agents.builtin.debugger import BuiltinDebugger
    from agents.builtin.downscaler import BuiltinDownscaler
    from agents.builtin.idea_mutator import BuiltinIdeaMutator
    from agents.builtin.mutator import BuiltinMutator
    from agents.builtin.structural_judge import BuiltinStructuralJudge

    mutator = BuiltinMutator(pack.actions)
    return Roles(
        mutator,
        BuiltinIdeaMutator(mutator, ideas, pack.upscaling_ideas, pack.adjustment_ideas),
        BuiltinDebugger(),
        BuiltinDownscaler(lab.check, budgets, pack.actions),
        BuiltinStructuralJudge(),
    )
