"""Who plays each role: a language model or the built-in designer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fairnad.domain.budget import Budget
from fairnad.errors import SettingsError
from fairnad.ports import BUILT_IN, Debugger, Downscaler, IdeaMutator, IdeaStore, Lab, Mutator, StructuralJudge
from fairnad.settings.search_settings import RunContext

if TYPE_CHECKING:
    from agents.llm.client import LanguageModel
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
    configured = bool(context.llm.title)
    found: dict[str, str] = {}
    for role in roles:
        wanted = getattr(context.agents, role)
        if wanted not in ("auto", "builtin") and not configured:
            flag = role.replace("_", "-")
            raise SettingsError(
                f"--agents.{flag} {wanted}: no language model is configured; set --llm.model or --llm.models"
            )
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
    model = context.llm.title
    words = {
        "llm": model,
        "builtin": BUILT_IN,
        "llm-then-builtin": f"{model}, then {BUILT_IN}",
        "builtin-then-llm": f"{BUILT_IN}, then {model}",
        "both": f"{BUILT_IN} and {model}",
    }
    return {role: words[wanted] for role, wanted in implementations(context, roles).items()}


def designers(context: RunContext) -> str:
    """Who takes part at all, in a word or two."""
    wanted = set(implementations(context).values())
    names = [context.llm.title] * (wanted != {"builtin"}) + [BUILT_IN] * (wanted != {"llm"})
    return " + ".join(sorted(names))


def describe(context: RunContext) -> str:
    """One line that says who designs."""
    if not any(cast(context).values()):
        return "all roles built in, no language model (--llm.model sets one)"
    return "; ".join(f"{role.replace('_', ' ')}: {player}" for role, player in players(context).items())


def mutation_form(context: RunContext) -> str:
    """How mutations are written: ``full``, ``edit``, ``module``, or ``auto`` where each draw decides.

    It is whole files in paper mode.
    """
    return "full" if context.paper_mode else context.agents.mutation_format


def form_text(context: RunContext, pack: Pack) -> str:
    """One line for the beginning of a search whose pack lacks the prompt for a form that was asked for; else empty."""
    form = mutation_form(context)
    if form not in ("edit", "module") or pack.has(f"mutation_{form}") or not cast(context, ("mutator",))["mutator"]:
        return ""
    other = "edits" if form == "module" and pack.has("mutation_edit") else "whole files"
    if context.mutation_prompt:
        return f"--mutation-prompt is for whole files: the language model writes {other}."
    return f"Pack {pack.name} has no prompt mutation_{form}: the language model writes {other}."


def make_roles(
    context: RunContext,
    pack: Pack,
    model: LanguageModel | None,
    lab: Lab,
    budgets: Sequence[Budget],
    ideas: IdeaStore,
) -> Roles:
    """The players :func:`implementations` names; ``model`` may be ``None`` where none is a language model."""
    wanted = implementations(context)
    casts: dict[str, Roles] = {}
    if model is not None:
        casts["llm"] = _language_model(context, pack, model, lab)
    if any(one != "llm" for one in wanted.values()):
        casts["builtin"] = _built_in(pack, lab, budgets, ideas)
    names = {"llm": context.llm.title, "builtin": BUILT_IN}
    return Roles(**{role: _player(role, wanted[role], casts, names, lab, budgets) for role in ROLES})


def _player(
    role: str,
    wanted: str,
    casts: Mapping[str, Roles],
    names: Mapping[str, str],
    lab: Lab,
    budgets: Sequence[Budget],
) -> Any:
    """One player of a role, or a mix of two."""
    from agents import fallback as relay

    order = ["builtin", "llm"] if wanted == "both" else wanted.split("-then-")
    players = [relay.Named(names[one], getattr(casts[one], role)) for one in order]
    if len(players) == 1:
        return players[0].player
    first, second = players
    mixes: Mapping[str, Callable[[], Any]] = {
        "mutator": lambda: relay.RelayMutator(first, second),
        "idea_mutator": lambda: relay.RelayIdeaMutator(first, second),
        "debugger": lambda: relay.RelayDebugger(first, second, lab.check),
        "downscaler": lambda: relay.RelayDownscaler(first, second, lab.check, budgets),
        "structural_judge": lambda: relay.RelayJudge(first.player, second.player),
    }
    return relay.JointJudge(first, second) if wanted == "both" else mixes[role]()


def _language_model(context: RunContext, pack: Pack, model: LanguageModel, lab: Lab) -> Roles:
    from agents.debugger import LanguageModelDebugger
    from agents.downscaler import LanguageModelDownscaler
    from agents.fallback import SparingDebugger
    from agents.idea_mutator import LanguageModelIdeaMutator
    from agents.mutator import LanguageModelMutator
    from agents.structural_judge import LanguageModelStructuralJudge

    form = mutation_form(context).replace("auto", "full")
    is_worded = context.paper_mode or bool(context.structural_judge_prompt)
    return Roles(
        LanguageModelMutator(model, pack, form, lab.check),
        LanguageModelIdeaMutator(model, pack, form),
        SparingDebugger(LanguageModelDebugger(model, pack, form)),
        LanguageModelDownscaler(model, pack, form),
        LanguageModelStructuralJudge(model, pack, as_data=not is_worded),
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
