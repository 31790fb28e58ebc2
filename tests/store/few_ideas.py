"""A handful of ideas, and an embedder that counts what it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, Source
from store.idea_store import ChromaIdeaStore
from tools.embedder import HashedEmbedder

GELU = Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation", "gelu")
RELU = Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation", "relu")
POOLING = Tag(Target.EFFICIENCY, Granularity.BLOCK, "efficient block structures", "pooling-based blocks")
WIDTH = Tag(Target.EFFICIENCY, Granularity.NETWORK, "network-wise scaling")

FEW = [
    Idea("Replace every ReLU by GELU.", tag=GELU, source=Source("GELUs", 2016)),
    Idea("Square the ReLU in the last stage.", tag=RELU, source=Source("Squares", 2021)),
    Idea("Make the slope of ReLU learnable per channel.", tag=RELU, source=Source("Slopes", 2015)),
    Idea("Use a capped ReLU in narrow layers.", tag=RELU),
    Idea("Mix tokens with average pooling instead of attention.", tag=POOLING, source=Source("Pools", 2021)),
    Idea("Widen all channels by a tenth and drop one block.", tag=WIDTH),
]


class CountingEmbedder(HashedEmbedder):
    """Counts the texts it was asked for, which tells when an index is built."""

    num_texts = 0

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.num_texts += len(texts)
        return super().__call__(texts)


def open_store(folder: Path, ideas: Sequence[Idea], embed: HashedEmbedder) -> ChromaIdeaStore:
    """A store whose index is built."""
    store = ChromaIdeaStore(folder, ideas, embed)
    store.ensure_index()
    return store


def texts(found: Sequence[tuple[Idea, float]]) -> list[str]:
    return [idea.text for idea, _ in found]
