from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest

from agents.idea_sampler import FairIdeaSampler
from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.search.sampling import Fairness, Key, fairness_key

GELU = Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation", "gelu")
GATE = Tag(Target.EFFICIENCY, Granularity.NETWORK, "dynamic computation", "gating")
IDEAS = [*(Idea(f"Idea {i} on activations.", tag=GELU) for i in range(30)), Idea("Gate it.", tag=GATE)]
UPSCALING, ADJUSTMENT = ("Repeat more.", "Widen.", "Widen unevenly."), ("Change a kernel.", "Change a stride.")


class SmallStore:
    """The ideas above as an idea store."""

    def __init__(self, ideas: list[Idea]) -> None:
        self._ideas = ideas

    def _of(self, fairness: Fairness) -> list[tuple[Key, Idea]]:
        return [(fairness_key(idea.tag, fairness), idea) for idea in self._ideas if idea.tag is not None]

    def counts(self, fairness: Fairness) -> Mapping[Key, int]:
        return Counter(key for key, _ in self._of(fairness))

    def draw(self, fairness: Fairness, key: Key, generator: np.random.Generator) -> Idea:
        ideas = [idea for other, idea in self._of(fairness) if other == key]
        return ideas[int(generator.integers(len(ideas)))]


def sampler(fairness: Fairness = Fairness.MAIN, ideas: list[Idea] = IDEAS) -> FairIdeaSampler:
    return FairIdeaSampler(SmallStore(ideas), fairness, UPSCALING, ADJUSTMENT)


@pytest.mark.parametrize(
    ("fairness", "share"),
    [(Fairness.NONE, 1 / 31), (Fairness.GRANULARITY, 0.5), (Fairness.MAIN, 0.5), (Fairness.SUB, 0.5)],
)
def test_a_rare_category_is_drawn_as_often_as_a_common_one(fairness: Fairness, share: float) -> None:
    generator = np.random.default_rng(0)
    num_draws = 2000
    drawn = Counter(sampler(fairness).sample(IdeaKind.KNOWLEDGE, generator).text for _ in range(num_draws))
    spread = (share * (1 - share) / num_draws) ** 0.5
    assert abs(drawn["Gate it."] / num_draws - share) < 4 * spread


@pytest.mark.parametrize(("kind", "texts"), [(IdeaKind.UPSCALE, UPSCALING), (IdeaKind.HYPERPARAMETER, ADJUSTMENT)])
def test_predefined_ideas_are_drawn_uniformly(kind: IdeaKind, texts: tuple[str, ...]) -> None:
    generator = np.random.default_rng(0)
    num_draws = 2000
    drawn = Counter(sampler().sample(kind, generator) for _ in range(num_draws))
    assert set(drawn) == {Idea(text, kind) for text in texts}
    share = 1 / len(texts)
    spread = (share * (1 - share) / num_draws) ** 0.5
    assert all(abs(count / num_draws - share) < 4 * spread for count in drawn.values())


def test_the_same_generator_draws_the_same_ideas() -> None:
    draws = [
        [sampler().sample(kind, np.random.default_rng(7)) for kind in (IdeaKind.KNOWLEDGE, IdeaKind.UPSCALE)]
        for _ in range(2)
    ]
    assert draws[0] == draws[1]


@pytest.mark.parametrize("kind", [IdeaKind.MUTATED, IdeaKind.NONE])
def test_ideas_that_are_made_are_not_drawn(kind: IdeaKind) -> None:
    with pytest.raises(ValueError, match="nothing to draw from"):
        sampler().sample(kind, np.random.default_rng(0))


def test_an_empty_store_has_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="there is no idea to draw from"):
        sampler(ideas=[]).sample(IdeaKind.KNOWLEDGE, np.random.default_rng(0))
