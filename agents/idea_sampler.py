"""The idea sampler: fair over the attribute tree for knowledge ideas, uniform for the predefined ones (paper §4.3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.ports import IdeaStore
from fairnad.search.sampling import Fairness, draw, draw_key


class FairIdeaSampler:
    """A :class:`fairnad.ports.IdeaSampler` over an idea store and the predefined ideas of a pack."""

    def __init__(
        self,
        store: IdeaStore,
        fairness: Fairness,
        upscaling_ideas: Sequence[str],
        adjustment_ideas: Sequence[str],
    ) -> None:
        self._store = store
        self._fairness = fairness
        self._predefined = {IdeaKind.UPSCALE: upscaling_ideas, IdeaKind.HYPERPARAMETER: adjustment_ideas}

    def sample(self, kind: IdeaKind, generator: np.random.Generator) -> Idea:
        """One idea: first a key of the fairness level, then an idea of that key (Algorithm 2, lines 6–7, 16, 24, 26).

        Raises:
            ValueError: there is no idea of that kind to draw.
        """
        if kind is IdeaKind.KNOWLEDGE:
            key = draw_key(self._store.counts(self._fairness), generator)
            return self._store.draw(self._fairness, key, generator)
        return Idea(draw(self._predefined.get(kind, ()), generator), kind)
