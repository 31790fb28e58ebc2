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
        """The parent with the idea carried out; the proposal's ``prompt`` is the idea, worded for its target.

        A prompt that is too long loses the lessons of earlier draws.
        """
        idea = self._pack.format_idea(request.idea, request.target)
        lessons = request.errand.choices.lessons
        variables = {"idea": idea, "parent": request.parent.source, "lessons": lessons}
        question = Question(self._pack, "mutation", variables, droppable=("lessons",) if lessons else ())
        return read_proposal(await question.ask(self._model, request.errand, Step.MUTATE), Step.MUTATE, prompt=idea)
