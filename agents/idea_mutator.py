"""The idea mutator: the next idea from the last one and its effect, carried out at once (paper §4.3.3, F.2.4)."""

from __future__ import annotations

from collections.abc import Mapping

from agents.llm.client import LanguageModel
from agents.proposals import Question, ask_for_edits, read_proposal, writes_edits
from agents.replies.source_replies import extract_idea
from fairnad.ideas.attribute_tree import Target
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.ports import IdeaMutationRequest, Proposal
from fairnad.records.candidate import Failure, Step
from prompts.loader import Pack

_UNNAMED = Idea("a change the reply did not put into words", IdeaKind.MUTATED)


class LanguageModelIdeaMutator:
    """A :class:`fairnad.ports.IdeaMutator` that asks a language model.

    Args:
        form: how candidates are written where the draw chose nothing; unless ``full``, they are edited, since what
            becomes of a chain is seldom a new module alone.
    """

    def __init__(self, model: LanguageModel, pack: Pack, form: str = "full") -> None:
        self._model = model
        self._pack = pack
        self._form = form

    async def mutate_idea(self, request: IdeaMutationRequest) -> Proposal | Failure:
        """The next source of a chain, with the idea behind it.

        A prompt that is too long loses the lessons of earlier draws, then the attribute trees, then the refinement
        ideas, then the one of the two codes that is not edited.
        """
        role = "idea_mutation_improved" if request.improved else "idea_mutation_degraded"
        tree = self._pack.attribute_tree
        variables = {
            "current": request.current.source,
            "previous": request.previous.source,
            "idea": request.idea.text,
            "performance_attributes": tree.outline(Target.PERFORMANCE),
            "efficiency_attributes": tree.outline(Target.EFFICIENCY),
            "refinement_ideas": (*self._pack.upscaling_ideas, *self._pack.adjustment_ideas),
            "lessons": request.errand.choices.lessons,
        }
        not_edited = "previous" if request.improved else "current"
        droppable = ("lessons", "performance_attributes", "efficiency_attributes", "refinement_ideas", not_edited)
        if writes_edits(self._pack, "idea_mutation_edit", request.errand, self._form):
            return await self._by_edits(request, {**variables, "improved": request.improved}, droppable)
        answer = await Question(self._pack, role, variables, droppable).ask(self._model, request.errand, Step.MUTATE)
        if isinstance(answer, Failure):
            return answer
        idea = extract_idea(answer.text, tree) or _UNNAMED
        return read_proposal(answer, Step.MUTATE, prompt=idea.text, idea=idea)

    async def _by_edits(
        self, request: IdeaMutationRequest, variables: Mapping[str, object], droppable: tuple[str, ...]
    ) -> Proposal | Failure:
        question = Question(self._pack, "idea_mutation_edit", variables, droppable)
        edited = request.current if request.improved else request.previous
        reply = await ask_for_edits(question, self._model, request.errand, edited.source, Step.MUTATE)
        if isinstance(reply, Failure):
            return reply
        idea = extract_idea(reply.text, self._pack.attribute_tree) or _UNNAMED
        return Proposal(reply.source, idea.text, idea, reply.note)
