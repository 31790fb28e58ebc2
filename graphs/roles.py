"""Who plays each role: a language model or the built-in designer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


BEST_MIX: Mapping[str, str] = {
    "mutator": "llm",
    "idea_mutator": "llm",
    "debugger": "builtin-then-llm",
    "downscaler": "llm-then-builtin",
    "structural_judge": "builtin",
}
"""What ``auto`` stands for where a language model is configured, unless everything is to be as in the paper."""


def implementations(context: RunContext, roles: Sequence[str] = ROLES) -> dict[str, str]:
    """Who plays each role: ``llm``, ``builtin`` or a mix of them.

    Args:
        roles: those of a search, or the librarian, who plays in none.

    Raises:
        SettingsError: a role asks for a language model, and none is configured.
    """
    configured = bool(context.llm.model)
    found: dict[str, str] = {}
    for role in roles:
        wanted = getattr(context.agents, role)
        if wanted not in ("auto", "builtin") and not configured:
            flag = role.replace("_", "-")
            raise SettingsError(f"--agents.{flag} {wanted}: no language model is configured; set --llm.model")
        if wanted == "auto":
            best = "llm" if context.paper_mode else BEST_MIX.get(role, "llm")
            wanted = best if configured else "builtin"
        found[role] = wanted
    return found


def cast(context: RunContext, roles: Sequence[str] = ROLES) -> dict[str, bool]:
    """For each role whether a language model plays in it.

    Raises:
        SettingsError: as for :func:`implementations`.
    """
    return {role: wanted != "builtin" for role, wanted in implementations(context, roles).items()}


def players(context: RunContext, roles: Sequence[str] = ROLES) -> dict[str, str]:
    """Who plays each role, in words: the language model's name, ``built-in``, or both in the order they are asked."""
    model = context.llm.model
    words = {
        "llm": model,
        "builtin": "built-in",
        "llm-then-builtin": f"{model}, then built-in",
        "builtin-then-llm": f"built-in, then {model}",
        "both": f"built-in and {model}",
    }
    return {role: words[wanted] for role, wanted in implementations(context, roles).items()}


def describe(context: RunContext) -> str:
    """One line that says who designs."""
    if not any(cast(context).values()):
        return "all roles built in, no language model (--llm.model sets one)"
    return "; ".join(f"{role.replace('_', ' ')}: {player}" for role, player in players(context).items())


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
        casts[True] = _language_model(pack, model)
    if not all(by_model.values()):
        casts[False] = _built_in(pack, lab, budgets, ideas)
    return Roles(**{role: getattr(casts[by_model[role]], role) for role in ROLES})


def _language_model(pack: Pack, model: LanguageModel) -> Roles:
    from agents.debugger import LanguageModelDebugger
    from agents.downscaler import LanguageModelDownscaler
    from agents.idea_mutator import LanguageModelIdeaMutator
    from agents.mutator import LanguageModelMutator
    from agents.structural_judge import LanguageModelStructuralJudge

    return Roles(
        LanguageModelMutator(model, pack),
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
