"""Embeddings without a model or download."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


class HashedEmbedder:
    """Hashed counts of words and of the letter groups inside them.

    Texts that share words or word stems have similar vectors. Deterministic on every machine.
    """

    def __init__(self, dimension: int = 256) -> None:
        if dimension < 1:
            raise ValueError(f"expected a dimension of at least 1, found {dimension}")
        self.dimension = dimension

    @property
    def name(self) -> str:
        """Changes whenever vectors of the same texts change."""
        return f"hashed-words-and-letters-1-{self.dimension}"

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One vector per text: shape (num_texts, dimension), float32, of length 1; zeros for a text without words."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        rows = sum(vectorizer.transform(texts) for vectorizer in self._vectorizers)
        vectors = np.asarray(rows.toarray(), dtype=np.float64)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)

    @cached_property
    def _vectorizers(self) -> tuple[Any, Any]:
        from sklearn.feature_extraction.text import HashingVectorizer  # slow to import

        words = HashingVectorizer(n_features=self.dimension, stop_words="english", norm="l2")
        letters = HashingVectorizer(n_features=self.dimension, analyzer="char_wb", ngram_range=(4, 4), norm="l2")
        return words, letters
