"""The built-in idea mutator: the rules of paper F.2.4, with ideas drawn from the knowledge database."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fairnad.ideas.idea import Idea, IdeaKind, MutationTarget, mutation_targets
from fairnad.ports import IdeaMutationRequest, IdeaStore, MutationRequest, Mutator, Proposal
from fairnad.records.candidate import Failure, FailureKind, Step
from fairnad.search.sampling import Fairness, Key, draw, draw_key, fairness_key

_NUM_TRIES = 6


class BuiltinIdeaMutator:
    """Chooses the next idea of a chain from the last one and its effect.

    Args:
        mutator: carries out the chosen idea.
        ideas: the model design knowledge database.
        upscaling_ideas: the predefined texts for scaling up.
        adjustment_ideas: the predefined texts for hyper-parameters.
    """

    def __init__(
        self,
        mutator: Mutator,
        ideas: IdeaStore,
        upscaling_ideas: Sequence[str],
        adjustment_ideas: Sequence[str],
    ) -> None:
        self._mutator = mutator
        self._ideas = ideas
        self._upscaling = tuple(upscaling_ideas)
        self._adjusting = tuple(adjustment_ideas)

    async def mutate_idea(self, request: IdeaMutationRequest) -> Proposal | Failure:
        """An edit of the current model after an improvement, of the previous one after a degradation.

        After an improvement, the next idea has the same main category, or is another way to scale up. After a
        degradation, it has another main category; a failed refinement is followed by knowledge. Up to six ideas are
        tried until one finds a place.
        """
        generator = request.context.generator
        edited = request.current if request.improved else request.previous
        failure = Failure(Step.MUTATE, FailureKind.NOT_APPLICABLE, "there is no idea to continue with")
        for attempt in range(_NUM_TRIES):
            drawn = self._next_idea(request, attempt, generator)
            if drawn is None:
                break
            target = draw(mutation_targets(drawn), generator) if drawn.tag else MutationTarget.NETWORK
            answer = await self._mutator.mutate(MutationRequest(request.context, drawn, target, edited))
            if isinstance(answer, Proposal) and answer.source not in (request.current.source, request.previous.source):
                idea = Idea(drawn.text, IdeaKind.MUTATED, drawn.tag, drawn.source)
                return Proposal(answer.source, answer.prompt, idea, answer.note)
            if isinstance(answer, Failure):
                failure = answer
        return failure

    def _next_idea(self, request: IdeaMutationRequest, attempt: int, generator: np.random.Generator) -> Idea | None:
        """The idea to try next; ``None`` if there is none."""
        last = request.idea
        if last.tag is None:
            goes_on = request.improved and last.kind is not IdeaKind.NONE
            return (
                self._refinement(last, attempt, generator) if goes_on else self._knowledge(last, _accept_any, generator)
            )
        own = fairness_key(last.tag, Fairness.MAIN)
        if not request.improved:
            return self._knowledge(last, lambda key: key != own, generator)
        narrow = attempt < _NUM_TRIES // 2
        found = self._knowledge(last, lambda key: key == own, generator) if narrow else None
        return found or self._knowledge(last, lambda key: key != own and key[:2] == own[:2], generator)

    def _refinement(self, last: Idea, attempt: int, generator: np.random.Generator) -> Idea | None:
        """Another way to scale up; after some attempts also a way to adjust."""
        pool = self._upscaling if attempt < _NUM_TRIES // 2 else self._upscaling + self._adjusting
        texts = [text for text in pool if text != last.text]
        return Idea(draw(texts, generator), IdeaKind.UPSCALE) if texts else None

    def _knowledge(self, last: Idea, fits: Callable[[Key], bool], generator: np.random.Generator) -> Idea | None:
        """Another idea of a fitting main category, or of any category if none fits."""
        keys = list(self._ideas.counts(Fairness.MAIN))
        fitting = [key for key in keys if fits(key)] or keys
        for _ in range(_NUM_TRIES if fitting else 0):
            idea = self._ideas.draw(Fairness.MAIN, draw_key(fitting, generator), generator)
            if idea.text != last.text:
                return idea
        return None


def _accept_any(_: Key) -> bool:
    return True
