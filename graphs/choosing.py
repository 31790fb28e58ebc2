"""What a search learns from its history: decided when a candidate is drawn, and stored with the draw."""

from __future__ import annotations

from fairnad import sampling
from fairnad.candidate import CandidateId
from fairnad.choices import Choices
from fairnad.form_choice import choose_form
from fairnad.history import History
from fairnad.ideas import Idea
from fairnad.settings import RunContext


def choose(context: RunContext, history: History, place: CandidateId, idea: Idea) -> Choices:
    """How the language models are to go about a candidate.

    Args:
        history: every record of earlier waves, so that going through a search again repeats its choices.
    """
    return Choices(form=_form(context, history, place, idea, model=""))


def default_form(context: RunContext) -> str:
    """How mutations are written where the draw chooses nothing."""
    wanted = context.agents.mutation_format
    return "full" if wanted == "auto" else wanted


def _form(context: RunContext, history: History, place: CandidateId, idea: Idea, model: str) -> str:
    """How the mutation is written; ``""`` where no language model writes it, or nothing is left to choose."""
    writes = context.agents.mutator != "builtin" and bool(context.llm.model)
    if not writes or context.agents.mutation_format != "auto":
        return ""
    return choose_form(history, model, idea, sampling.generator(context.seed, place, "form"))
