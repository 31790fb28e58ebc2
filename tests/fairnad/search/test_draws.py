"""What fills a slot."""

from __future__ import annotations

import numpy as np

from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind, MutationTarget
from fairnad.records.candidate import BASE_ID
from fairnad.search.draws import Slot, draw_idea

TAG = Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation", "gelu")


class Ideas:
    """Answers with the kind that was asked for and a random number."""

    def sample(self, kind: IdeaKind, generator: np.random.Generator) -> Idea:
        tag = TAG if kind is IdeaKind.KNOWLEDGE else None
        return Idea(f"{kind} {generator.integers(1_000_000)}", kind, tag)


def slot(number: int = 0, draw: int = 0, kind: IdeaKind = IdeaKind.KNOWLEDGE) -> Slot:
    return Slot(f"g00-initial-r1-s{number:02d}-d{draw}", BASE_ID, str(kind))


def draw(one: Slot, own: list[Idea] | None = None, *, with_target: bool = True) -> tuple[Idea, MutationTarget]:
    return draw_idea(one, Ideas(), [] if own is None else own, 7, with_target=with_target)


def test_the_same_seed_draws_the_same_idea_and_another_draw_another_idea() -> None:
    assert draw(slot()) == draw(slot())
    assert draw(slot()) != draw(slot(draw=1))


def test_the_mutation_target_follows_the_granularity_uniformly_and_can_be_ablated() -> None:
    targets = [draw(slot(number))[1] for number in range(100)]
    assert set(targets) == {MutationTarget.NEW_MODULE, MutationTarget.MODIFY_MODULE}
    assert np.isclose(targets.count(MutationTarget.NEW_MODULE) / 100, 0.5, atol=0.15)
    assert draw(slot(), with_target=False)[1] is MutationTarget.ANY


def test_own_ideas_come_first_if_knowledge_is_drawn_and_only_once() -> None:
    own = [Idea("mine", tag=TAG)]
    assert draw(slot(kind=IdeaKind.UPSCALE), own)[0].text.startswith("upscale")
    assert draw(slot(), own)[0].text == "mine"
    assert draw(slot(1), own)[0].text != "mine"


def test_the_base_and_the_chains_of_stage_three_get_no_idea() -> None:
    for kind in (IdeaKind.NONE, IdeaKind.MUTATED):
        assert draw(slot(kind=kind)) == (Idea("", kind), MutationTarget.ANY)
