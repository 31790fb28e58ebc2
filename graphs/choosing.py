"""What a search learns from its history: decided when a candidate is drawn, and stored with the draw."""

from __future__ import annotations

from dataclasses import replace

from fairnad import sampling
from fairnad.candidate import CandidateId
from fairnad.choices import Choices
from fairnad.form_choice import choose_form
from fairnad.history import History
from fairnad.ideas import Idea
from fairnad.repair_choice import kinds_to_resample
from fairnad.settings import RunContext
from graphs.roles import cast, mutation_form


def choose(context: RunContext, history: History, place: CandidateId, idea: Idea) -> Choices:
    """How the language models are to go about a candidate.

    Args:
        history: every record of earlier waves, so that going through a search again repeats its choices.
    """
    choices = Choices()
    if not context.paper_mode:
        choices = replace(choices, resample=_resample(context, history, place, choices.model))
    return replace(choices, form=_form(context, history, place, idea, choices.model))


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
