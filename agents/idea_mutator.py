"""The idea mutator: makes the next idea from the last one and its effect, and carries it out (paper §4.3.3, F.2.4)."""

from __future__ import annotations

from agents.proposals import SourceWriter
from agents.replies.source_replies import extract_idea
from fairnad.ideas.attribute_tree import Target
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.ports import IdeaMutationRequest, Proposal
from fairnad.records.candidate import Failure, Step

_UNNAMED = Idea("a change the reply did not put into words", IdeaKind.MUTATED)


class LanguageModelIdeaMutator(SourceWriter):
    """A :class:`fairnad.ports.IdeaMutator` that asks a language model, for edits unless whole files are written."""

    async def mutate_idea(self, request: IdeaMutationRequest) -> Proposal | Failure:
        """The next source of a chain, with the idea behind it.

        A prompt that is too long loses the lessons of earlier draws, then the attribute trees, then the refinement
        ideas, then the source that is not edited.
        """
        tree = self._pack.attribute_tree
        variables = {
            "current": request.current.source,
            "previous": request.previous.source,
            "idea": request.idea.text,
            "performance_attributes": tree.outline(Target.PERFORMANCE),
            "efficiency_attributes": tree.outline(Target.EFFICIENCY),
            "refinement_ideas": (*self._pack.upscaling_ideas, *self._pack.adjustment_ideas),
            "lessons": request.context.choices.lessons,
            "improved": request.improved,
        }
        edited, other = (request.current, "previous") if request.improved else (request.previous, "current")
        written = await self._write(
            "idea_mutation_improved" if request.improved else "idea_mutation_degraded",
            "idea_mutation_edit",
            variables,
            ("lessons", "performance_attributes", "efficiency_attributes", "refinement_ideas", other),
            context=request.context,
            source=edited.source,
            step=Step.MUTATE,
        )
        if isinstance(written, Failure):
            return written
        idea = extract_idea(written.reply, tree) or _UNNAMED
        return Proposal(written.source, idea.text, idea, written.note)
