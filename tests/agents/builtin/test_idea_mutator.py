from collections.abc import Mapping, Sequence

import numpy as np

from agents.builtin.idea_mutator import BuiltinIdeaMutator
from agents.builtin.mutator import BuiltinMutator
from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind, Source
from fairnad.ports import CallContext, IdeaMutationRequest, Model, Proposal
from fairnad.records.candidate import Failure, FailureKind
from fairnad.search.sampling import Fairness, Key, draw, fairness_key
from tests.agents.builtin.networks import COMPREHENSIONS, LIBRARY, RESNET, run

GATES = Tag(Target.PERFORMANCE, Granularity.BLOCK, "adaptive feature recalibration", "channel attention")
FUSION = Tag(Target.PERFORMANCE, Granularity.BLOCK, "feature fusion and aggregation", "channel concatenation")
ORDER = Tag(Target.PERFORMANCE, Granularity.NETWORK, "layer arrangement and order", "pre-activation")
SQUEEZE = Idea("Squeeze and excitation", tag=GATES)
COORDINATES = Idea("Gate along rows and columns", tag=GATES, source=Source("A paper", 2021))
CONCATENATE = Idea("Concatenate branch and shortcut", tag=FUSION)
PRE_ACTIVATE = Idea("Use pre-activation", tag=ORDER)

ACTIONS = {"deeper": "deepen-end", "wider": "widen-proportional", "another kernel": "kernel"}


class Ideas:
    """An idea store that lives in memory."""

    def __init__(self, ideas: Sequence[Idea]) -> None:
        self.ideas = ideas

    def counts(self, fairness: Fairness) -> Mapping[Key, int]:
        keys = [fairness_key(idea.tag, fairness) for idea in self.ideas if idea.tag]
        return {key: keys.count(key) for key in keys}

    def draw(self, fairness: Fairness, key: Key, generator: np.random.Generator) -> Idea:
        return draw([i for i in self.ideas if i.tag and fairness_key(i.tag, fairness) == key], generator)


async def mutate(
    ideas: Sequence[Idea], last: Idea, *, improved: bool, seed: int = 0, previous: str = COMPREHENSIONS
) -> Proposal | Failure:
    designer = BuiltinIdeaMutator(
        BuiltinMutator(ACTIONS, LIBRARY), Ideas(ideas), ["deeper", "wider"], ["another kernel"]
    )
    context = CallContext("g01-refine-r1-s00-d0", 0, seed)
    return await designer.mutate_idea(IdeaMutationRequest(context, last, Model(RESNET), Model(previous), improved))


def starts_from(answer: Proposal, source: str) -> bool:
    network = source[source.index("class Network") :].splitlines()
    return sum(line in answer.source.splitlines() for line in network) > 0.7 * len(network)


async def test_after_an_improvement_an_idea_of_the_same_category_goes_on_with_the_current_model() -> None:
    for seed in range(5):
        answer = await mutate([SQUEEZE, COORDINATES, CONCATENATE, PRE_ACTIVATE], SQUEEZE, improved=True, seed=seed)

        assert isinstance(answer, Proposal)
        assert answer.idea == Idea(COORDINATES.text, IdeaKind.MUTATED, GATES, COORDINATES.source)
        assert starts_from(answer, RESNET)
        assert not starts_from(answer, COMPREHENSIONS)
    run(answer.source)


async def test_a_sibling_category_stands_in_where_the_last_idea_is_alone_in_its_own() -> None:
    answer = await mutate([SQUEEZE, CONCATENATE, PRE_ACTIVATE], SQUEEZE, improved=True)

    assert isinstance(answer, Proposal)
    assert answer.idea is not None
    assert answer.idea.tag == FUSION


async def test_after_a_degradation_an_idea_of_another_category_starts_from_the_previous_model() -> None:
    tags = set()
    for seed in range(8):
        answer = await mutate([SQUEEZE, COORDINATES, CONCATENATE, PRE_ACTIVATE], SQUEEZE, improved=False, seed=seed)

        assert isinstance(answer, Proposal)
        assert answer.idea is not None
        assert starts_from(answer, COMPREHENSIONS)
        tags.add(answer.idea.tag)
    assert tags == {FUSION, ORDER}


async def test_after_a_refinement_that_improved_another_way_to_scale_up_follows() -> None:
    deeper = Idea("deeper", IdeaKind.UPSCALE)
    for seed in range(4):
        answer = await mutate([SQUEEZE], deeper, improved=True, seed=seed)

        assert isinstance(answer, Proposal)
        assert answer.idea == Idea("wider", IdeaKind.MUTATED)
        assert answer.note.startswith("widths 16, 32, 64 → ")


async def test_after_a_refinement_that_degraded_an_idea_from_knowledge_follows() -> None:
    last = Idea("another kernel", IdeaKind.HYPERPARAMETER)

    answer = await mutate([SQUEEZE], last, improved=False)

    assert isinstance(answer, Proposal)
    assert answer.idea == Idea(SQUEEZE.text, IdeaKind.MUTATED, GATES)
    assert starts_from(answer, COMPREHENSIONS)


async def test_a_mutated_idea_without_tag_counts_as_a_refinement() -> None:
    answer = await mutate([SQUEEZE], Idea("wider", IdeaKind.MUTATED), improved=True)

    assert isinstance(answer, Proposal)
    assert answer.idea == Idea("deeper", IdeaKind.MUTATED)


async def test_a_chain_that_starts_at_the_base_draws_from_knowledge() -> None:
    answer = await mutate([SQUEEZE], Idea("the base model", IdeaKind.NONE), improved=True)

    assert isinstance(answer, Proposal)
    assert answer.idea == Idea(SQUEEZE.text, IdeaKind.MUTATED, GATES)


async def test_nothing_to_draw_from_is_a_failure() -> None:
    answer = await mutate([SQUEEZE], SQUEEZE, improved=True)

    assert isinstance(answer, Failure)
    assert (answer.kind, answer.message) == (FailureKind.NOT_APPLICABLE, "there is no idea to continue with")


async def test_ideas_without_a_place_end_in_the_mutator_s_failure() -> None:
    answer = await mutate([PRE_ACTIVATE, CONCATENATE], PRE_ACTIVATE, improved=False, previous="class Broken(")

    assert isinstance(answer, Failure)
    assert answer.message.startswith("the parent cannot be read: ")
