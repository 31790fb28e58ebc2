"""The built-in mutator: carries out an idea by the transformation that fits it best (paper §4.3.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from agents.builtin.catalogue import ADJUSTING, UPSCALING, Transform, Transformation, transformations
from agents.builtin.source_editor import SourceEditor, UnreadableSourceError
from fairnad.ideas.attribute_tree import Category, Tag
from fairnad.ideas.idea import Idea, MutationTarget
from fairnad.ports import MutationRequest, Proposal
from fairnad.records.candidate import Failure, FailureKind, Step
from prompts.module_library import ModuleLibrary

_WITHOUT_SWITCH = {"squeeze-excitation": "channel gate"}
"""For actions that toggle a switch of a block: the transformation for blocks without that switch."""


class BuiltinMutator:
    """Carries out ideas by source transformations.

    Args:
        actions: the key of :data:`~agents.builtin.catalogue.UPSCALING` or :data:`~agents.builtin.catalogue.ADJUSTING`
            for each predefined idea, by its text.
        library: the modules and transformations for all other ideas.
    """

    def __init__(self, actions: Mapping[str, str], library: ModuleLibrary) -> None:
        self._actions = actions
        self._transformations = transformations(library)

    async def mutate(self, request: MutationRequest) -> Proposal | Failure:
        """The changed parent, or a failure of kind *not applicable*.

        If the best transformation finds no place, the others of its main category are tried in random order; for a
        predefined idea, the others of its kind.
        """
        generator = request.context.generator
        source = request.parent.source
        for transform, target in self._choices(request.idea, request.target, generator):
            try:
                editor = SourceEditor(source, generator, request.parent.report)
            except UnreadableSourceError as error:
                return Failure(Step.MUTATE, FailureKind.NOT_APPLICABLE, f"the parent cannot be read: {error}")
            note = transform(editor, target)
            if note and editor.source != source:
                return Proposal(editor.source, prompt=request.idea.text, note=note)
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
                for name in names:
                    yield table[name], target
                    without = (found for found in self._transformations if found.name == _WITHOUT_SWITCH.get(name))
                    yield from ((found.apply, MutationTarget.NEW_MODULE) for found in without)
                return
        ordered = ranked(idea, target, generator, self._transformations)
        yield from ((found.apply, applied_as) for found, applied_as in ordered)


def ranked(
    idea: Idea, target: MutationTarget, generator: np.random.Generator, known: Sequence[Transformation]
) -> list[tuple[Transformation, MutationTarget]]:
    """Transformations for an idea, each with the target to apply it with: the best first, the others at random.

    Those for the requested target precede those of the same main category for other targets.
    """
    candidates = _of_category(idea.tag, known) if idea.tag is not None else known
    sub_category = idea.tag.sub if idea.tag is not None else ""
    scored = [(found, found.score(idea.text, sub_category)) for found in candidates]
    if idea.tag is None:
        scored = [(found, score) for found, score in scored if score]
    fitting = _best_first([pair for pair in scored if target in pair[0].targets], generator)
    others = _best_first([pair for pair in scored if target not in pair[0].targets], generator)
    return [(found, target) for found in fitting] + [(found, min(found.targets)) for found in others]


def _of_category(tag: Tag, known: Sequence[Transformation]) -> list[Transformation]:
    """The transformations of a tag's main category, or of its granularity if the tree uses other names."""
    exact = [t for t in known if any(_is_same(category, tag.category) for category in t.categories)]
    if exact:
        return exact
    return [t for t in known if any((c.target, c.granularity) == (tag.target, tag.granularity) for c in t.categories)]


def _is_same(category: Category, other: Category) -> bool:
    return (category.target, category.granularity) == (other.target, other.granularity) and (
        category.main.lower() in other.main.lower() or other.main.lower() in category.main.lower()
    )


def _best_first(scored: Sequence[tuple[Transformation, int]], generator: np.random.Generator) -> list[Transformation]:
    mixed = [scored[int(i)] for i in generator.permutation(len(scored))]
    best = max((score for _, score in mixed), default=0)
    first = next((i for i, (_, score) in enumerate(mixed) if score == best), 0)
    return [found for found, _ in mixed[first : first + 1] + mixed[:first] + mixed[first + 1 :]]
