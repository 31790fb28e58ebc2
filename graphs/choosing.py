"""What a search learns from its history: decided when a candidate is drawn, and stored with the draw."""

from __future__ import annotations

from fairnad.candidate import CandidateId
from fairnad.choices import Choices
from fairnad.history import History
from fairnad.ideas import Idea
from fairnad.model_choice import choose_model
from fairnad.settings import RunContext


def choose(context: RunContext, history: History, place: CandidateId, idea: Idea) -> Choices:
    """How the language models are to go about a candidate.

    Args:
        history: every record of earlier waves, so that going through a search again repeats its choices.
    """
    model = ""
    if context.agents.mutator != "builtin":
        model = choose_model(context.llm.entries, history, place, context.seed, context.llm.choice)
    return Choices(model=model)
