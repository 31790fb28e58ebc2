"""The mutator: carries an idea out on a parent (paper §4.3, F.2.3)."""

from __future__ import annotations

from agents.llm import LanguageModel
from agents.proposals import Question, read_proposal
from fairnad.candidate import Failure, Step
from fairnad.ports import MutationRequest, Proposal
from prompts.loader import Pack


class LanguageModelMutator:
    """A :class:`fairnad.ports.Mutator` that asks a language model."""

    def __init__(self, model: LanguageModel, pack: Pack) -> None:
        self._model = model
        self._pack = pack

    async def mutate(self, request: MutationRequest) -> Proposal | Failure:
        """The parent with the idea carried out; the proposal's ``prompt`` is the idea, worded for its target."""
        idea = self._pack.format_idea(request.idea, request.target)
        question = Question(self._pack, "mutation", {"idea": idea, "parent": request.parent.source})
        return read_proposal(await question.ask(self._model, request.errand, Step.MUTATE), Step.MUTATE, prompt=idea)
