"""What a search learns from its history: decided when a candidate is drawn, and stored with the draw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fairnad import sampling
from fairnad.candidate import CandidateId
from fairnad.choices import Choices
from fairnad.form_choice import choose_form
from fairnad.history import History
from fairnad.ideas import Idea, IdeaKind
from fairnad.lessons import lessons
from fairnad.model_choice import choose_model
from fairnad.repair_choice import kinds_to_resample
from fairnad.settings import RunContext
from graphs.roles import cast, mutation_form

Offer = Callable[[Idea, History], tuple[str, ...]]
"""The checked modules that are offered for an idea, by their ids."""


def choose(context: RunContext, offer: Offer | None, history: History, place: CandidateId, idea: Idea) -> Choices:
    """How the language models are to go about a candidate.

    Args:
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
    if offer is not None:
        choices = replace(choices, parts=offer(idea, history))
    return replace(choices, form=_form(context, history, place, idea, choices.model))


def has_library(context: RunContext) -> bool:
    """Whether a language model that mutates is offered checked modules."""
    return context.agents.library > 0 and not context.paper_mode and cast(context, ("mutator",))["mutator"]


def _form(context: RunContext, history: History, place: CandidateId, idea: Idea, model: str) -> str:
    """How the mutation is written; empty where no language model writes it."""
    if not cast(context, ("mutator",))["mutator"]:
        return ""
    form = mutation_form(context)
    if form != "auto":
        return form
    return choose_form(history, model, idea, sampling.generator(context.seed, place, "form"))


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
