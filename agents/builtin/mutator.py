"""The mutator without a language model: an idea is carried out by the transformation that fits it best (§4.3.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from agents.builtin.adjustments import ADJUSTING, UPSCALING
from agents.builtin.catalogue import TRANSFORMATIONS, Transformation
from agents.builtin.insertions import Transform
from agents.builtin.source_editor import Draft, UnreadableSourceError
from fairnad.ideas.attribute_tree import Category, Tag
from fairnad.ideas.idea import Idea, MutationTarget
from fairnad.ports import MutationRequest, Proposal
from fairnad.records.candidate import Failure, FailureKind, Step


class BuiltinMutator:
    """Carries ideas out by source transformations.

    Args:
        actions: for a predefined idea, by its text, which of :data:`~agents.builtin.adjustments.UPSCALING` and
            :data:`~agents.builtin.adjustments.ADJUSTING` it asks for.
    """

    def __init__(self, actions: Mapping[str, str]) -> None:
        self._actions = actions

    async def mutate(self, request: MutationRequest) -> Proposal | Failure:
        """The parent with the idea carried out, or a failure of kind *not applicable*.

        Where the best fitting transformation finds no place, the others of its main category are tried in random
        order; for a predefined idea, the others of its kind.
        """
        generator = request.errand.generator
        source = request.parent.source
        for transform, target in self._choices(request.idea, request.target, generator):
            try:
                draft = Draft(source, generator, request.parent.report)
            except UnreadableSourceError as error:
                return Failure(Step.MUTATE, FailureKind.NOT_APPLICABLE, f"the parent cannot be read: {error}")
            note = transform(draft, target)
            if note and draft.source != source:
                return Proposal(draft.source, prompt=request.idea.text, note=note)
        message = f"no transformation found a place for the idea in the {request.target}"
        return Failure(Step.MUTATE, FailureKind.NOT_APPLICABLE, message)

    def _choices(
        self, idea: Idea, target: MutationTarget, generator: np.random.Generator
    ) -> Iterator[tuple[Transform, MutationTarget]]:
        action = self._actions.get(idea.text, "")
        for table in (UPSCALING, ADJUSTING):
            if action in table:
                others = [name for name in table if name != action]
                names = [action, *(others[int(i)] for i in generator.permutation(len(others)))]
                yield from ((table[name], target) for name in names)
                return
        for found, use in ranked(idea, target, generator):
            yield found.apply, use


def ranked(
    idea: Idea, target: MutationTarget, generator: np.random.Generator
) -> list[tuple[Transformation, MutationTarget]]:
    """Transformations for an idea, each with the target to apply it for: the best fitting first, then at random.

    Those made for the idea's target come before those of the same main category that are made for another one.
    """
    candidates = _of_category(idea.tag) if idea.tag is not None else list(TRANSFORMATIONS)
    sub_category = idea.tag.sub if idea.tag is not None else ""
    scored = [(found, found.score(idea.text, sub_category)) for found in candidates]
    if idea.tag is None:
        scored = [(found, score) for found, score in scored if score]
    fitting = _best_first([pair for pair in scored if target in pair[0].targets], generator)
    others = _best_first([pair for pair in scored if target not in pair[0].targets], generator)
    return [(found, target) for found in fitting] + [(found, min(found.targets)) for found in others]


def _of_category(tag: Tag) -> list[Transformation]:
    """The transformations of a tag's main category; of its granularity where a tree names it otherwise."""
    exact = [t for t in TRANSFORMATIONS if any(_same(category, tag.category) for category in t.categories)]
    if exact:
        return exact
    return [
        t
        for t in TRANSFORMATIONS
        if any((c.target, c.granularity) == (tag.target, tag.granularity) for c in t.categories)
    ]


def _same(category: Category, other: Category) -> bool:
    return (category.target, category.granularity) == (other.target, other.granularity) and (
        category.main.lower() in other.main.lower() or other.main.lower() in category.main.lower()
    )


def _best_first(scored: Sequence[tuple[Transformation, int]], generator: np.random.Generator) -> list[Transformation]:
    mixed = [scored[int(i)] for i in generator.permutation(len(scored))]
    best = max((score for _, score in mixed), default=0)
    first = next((i for i, (_, score) in enumerate(mixed) if score == best), 0)
    return [found for found, _ in mixed[first : first + 1] + mixed[:first] + mixed[first + 1 :]]
