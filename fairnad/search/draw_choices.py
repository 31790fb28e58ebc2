"""Decisions of a draw that are learned from the history. They are made once and stored with the draw. Pure."""

from __future__ import annotations

from collections.abc import Callable

from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.records.candidate import CandidateId, Stage
from fairnad.records.draw_decisions import DrawDecisions
from fairnad.records.history import History
from fairnad.roles import ROLES
from fairnad.search import sampling
from fairnad.search.edit_format_choice import EDIT_FORMATS, choose_format, fitting_formats
from fairnad.search.lessons import lessons
from fairnad.search.model_choice import choose_model
from fairnad.search.repair_choice import kinds_to_resample
from fairnad.settings.casting import asks_model
from fairnad.settings.search_settings import RunContext

Offer = Callable[[Idea, History], tuple[str, ...]]
"""The ids of the modules of the module library that are offered for an idea."""
HasPrompt = Callable[[str], bool]
"""Whether the pack has a prompt of that name."""


def decide_draw(
    context: RunContext, has_prompt: HasPrompt, offer: Offer | None, history: History, place: CandidateId, idea: Idea
) -> DrawDecisions:
    """How the language models work on a candidate.

    Args:
        offer: ``None`` if no module library is used.
        history: every record of earlier waves, so that a repeated search repeats its decisions.
    """
    entries = context.llm.models if asks_model(context, "mutator") else ()
    model = choose_model(entries, history, place, context.seed, context.llm.choice)
    shows_lessons = remembers_ideas(context) and idea.kind is not IdeaKind.NONE
    return DrawDecisions(
        model=model,
        form=_decide_format(context, has_prompt, history, place, idea, model),
        resample=_decide_resampling(context, history, place, model),
        lessons=lessons(history, idea) if shows_lessons else (),
        parts=offer(idea, history) if offer is not None and place.stage is not Stage.REFINE else (),
    )


def offers_modules(context: RunContext) -> bool:
    """Whether a language model that mutates is offered the module library."""
    return "modules" not in context.search.ablate and not context.paper_mode and asks_model(context, "mutator")


def remembers_ideas(context: RunContext) -> bool:
    """Whether the mutators see the outcomes of earlier ideas, and spent ideas are not drawn again."""
    is_off = context.paper_mode or "lessons" in context.search.ablate
    return not is_off and asks_model(context, "mutator", "idea_mutator")


def wanted_edit_format(context: RunContext) -> str:
    """``full``, ``edit`` or ``module``; ``auto`` if each draw decides. Paper mode writes whole files."""
    return "full" if context.paper_mode else context.agents.edit_format


def missing_prompt_text(context: RunContext, pack_name: str, has_prompt: HasPrompt) -> str:
    """A notice if the pack lacks the prompt of the wanted edit format; otherwise empty."""
    wanted = wanted_edit_format(context)
    if wanted not in ("edit", "module") or has_prompt(f"mutation_{wanted}") or not asks_model(context, "mutator"):
        return ""
    used = "edits" if wanted == "module" and has_prompt("mutation_edit") else "whole files"
    if "mutation" in context.prompts:
        return f"--prompts mutation is for whole files: the language model writes {used}."
    return f"Pack {pack_name} has no prompt mutation_{wanted}: the language model writes {used}."


def _decide_format(
    context: RunContext, has_prompt: HasPrompt, history: History, place: CandidateId, idea: Idea, model: str
) -> str:
    """The edit format; empty if no language model writes the mutation.

    A wanted format without a prompt is replaced by the next longer one. A module is written only for an idea that asks
    for one, and not in a chain of refinements.
    """
    if not asks_model(context, "mutator"):
        return ""
    role = ROLES["idea_mutator" if place.stage is Stage.REFINE else "mutator"]
    possible = {template.edit_format for template in role.templates if has_prompt(template.name)}
    if idea.kind is not IdeaKind.KNOWLEDGE:
        possible.discard("module")
    wanted = wanted_edit_format(context)
    if wanted == "auto":
        formats = [name for name in fitting_formats(idea) if name in possible]
        return choose_format(history, model, formats, sampling.generator(context.seed, place, "form"))
    longer = EDIT_FORMATS[EDIT_FORMATS.index(wanted) :: -1]
    return next(name for name in longer if name in possible)


def _decide_resampling(context: RunContext, history: History, place: CandidateId, model: str) -> tuple[str, ...]:
    """The kinds of failures to resample; empty if no language model repairs."""
    if context.paper_mode or "resample" in context.search.ablate or not asks_model(context, "debugger"):
        return ()
    return kinds_to_resample(history, model, sampling.generator(context.seed, place, "repair"))
