"""What a search learns from its history: decided when a candidate is drawn, and stored with the draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.records.candidate import CandidateId, Stage
from fairnad.records.draw_decisions import Choices
from fairnad.records.history import History
from fairnad.search import sampling
from fairnad.search.edit_format_choice import FORMS, choose_form, fitting_forms
from fairnad.search.lessons import lessons
from fairnad.search.model_choice import choose_model
from fairnad.search.repair_choice import kinds_to_resample
from fairnad.settings.search_settings import RunContext
from graphs.runtime.roles import cast, mutation_form

if TYPE_CHECKING:
    from prompts.loader import Pack

Offer = Callable[[Idea, History], tuple[str, ...]]
"""The checked modules that are offered for an idea, by their ids."""


def choose(
    context: RunContext, pack: Pack, offer: Offer | None, history: History, place: CandidateId, idea: Idea
) -> Choices:
    """How the language models are to go about a candidate.

    Args:
        pack: what it has no prompt for is not asked for.
        offer: asked where there is a library of checked modules.
        history: every record of earlier waves, so that going through a search again repeats its choices.
    """
    choices = Choices()
    if context.agents.mutator != "builtin":
        model = choose_model(context.llm.entries, history, place, context.seed, context.llm.choice)
        choices = replace(choices, model=model)
    if not context.paper_mode:
        resample = _resample(context, history, place, choices.model)
        choices = replace(choices, resample=resample, lessons=_lessons(context, history, idea))
    if offer is not None and place.stage is not Stage.REFINE:
        choices = replace(choices, parts=offer(idea, history))
    return replace(choices, form=_form(context, pack, history, place, idea, choices.model))


def has_library(context: RunContext) -> bool:
    """Whether a language model that mutates is offered checked modules."""
    return context.agents.library > 0 and not context.paper_mode and cast(context, ("mutator",))["mutator"]


def _form(context: RunContext, pack: Pack, history: History, place: CandidateId, idea: Idea, model: str) -> str:
    """How the mutation is written; empty where no language model writes it.

    A form that is asked for and cannot be had gives way to the next longer one.
    """
    if not cast(context, ("mutator",))["mutator"]:
        return ""
    form, offered = mutation_form(context), _offered(pack, place.stage, idea)
    if form == "auto":
        forms = [form for form in fitting_forms(idea) if form in offered]
        return choose_form(history, model, forms, sampling.generator(context.seed, place, "form"))
    longer = FORMS[FORMS.index(form) :: -1]
    return next(form for form in longer if form in offered)


def _offered(pack: Pack, stage: Stage, idea: Idea) -> Sequence[str]:
    """The forms there is a prompt for; a module is asked for only where an idea names parts, and in no chain."""
    if stage is Stage.REFINE:
        prompts = {"edit": "idea_mutation_edit"}
    elif idea.kind is IdeaKind.KNOWLEDGE:
        prompts = {"edit": "mutation_edit", "module": "mutation_module"}
    else:
        prompts = {"edit": "mutation_edit"}
    return ["full", *(form for form, prompt in prompts.items() if pack.has(prompt))]


def _resample(context: RunContext, history: History, place: CandidateId, model: str) -> tuple[str, ...]:
    """What is better drawn anew; nothing where no language model repairs."""
    if context.agents.repair == "always" or not cast(context, ("debugger",))["debugger"]:
        return ()
    return kinds_to_resample(history, model, sampling.generator(context.seed, place, "repair"))


def remembers(context: RunContext) -> bool:
    """Whether what became of earlier ideas is told to the mutators, and spent ideas are not drawn again."""
    by_model = cast(context, ("mutator", "idea_mutator"))
    return context.agents.lessons and not context.paper_mode and any(by_model.values())


def _lessons(context: RunContext, history: History, idea: Idea) -> tuple[str, ...]:
    return lessons(history, idea) if remembers(context) and idea.kind is not IdeaKind.NONE else ()
