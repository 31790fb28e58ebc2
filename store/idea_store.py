"""𝒟kn: the design ideas of a run, drawn fairly, filtered exactly, and searched by meaning.

The caller supplies the ideas. On disk lies only their index (:mod:`store.idea_index`), which can be rebuilt at any
time. Drawing and filtering need no index. Filters are evaluated exactly; Chroma then ranks the ideas that pass
(``benchmarks/idea_store.py`` measures the speed and the recall).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from fairnad.errors import IdeaIndexError
from fairnad.ideas.idea import Idea
from fairnad.ideas.idea_filter import IdeaFilter
from fairnad.records.candidate import plain
from fairnad.search.sampling import Fairness, Key, draw, fairness_key
from store.chroma import import_chroma
from store.idea_index import IdeaIndex

if TYPE_CHECKING:
    from chromadb.api.models.Collection import Collection

_FORMAT = 3
"""Format of the index on disk."""

Match = tuple[Idea, float]


class Embedder(Protocol):
    """Turns texts into vectors of shape (num_texts, dimension), float32."""

    @property
    def name(self) -> str:
        """Changes whenever the same text would get another vector."""

    def __call__(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """One vector per text."""


class ChromaIdeaStore:
    """:class:`fairnad.ports.IdeaStore` with a search by meaning; several threads and processes may use it.

    Creating a store reads and writes nothing. The first search opens the index, and builds it if necessary.

    Args:
        folder: holds the index.

    Raises:
        ValueError: an idea occurs twice, or has no tag.
    """

    def __init__(self, folder: Path, ideas: Sequence[Idea], embed: Embedder) -> None:
        self._embed = embed
        self._ideas = {idea.idea_id: idea for idea in sorted(ideas, key=lambda idea: idea.idea_id)}
        if len(self._ideas) != len(ideas):
            raise ValueError(f"expected distinct ideas, found {len(ideas) - len(self._ideas)} twice")
        self._by_key = {fairness: self._group(fairness) for fairness in Fairness}
        content = [_FORMAT, version("chromadb"), embed.name, *(plain(idea) for idea in self)]
        label = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        self._index = IdeaIndex(folder, label, tuple(self), embed)
        self._lock = threading.Lock()
        self._resources = contextlib.ExitStack()
        self._collection: Collection | None = None

    def ensure_index(self, *, rebuild: bool = False) -> None:
        """Build the index if it is missing, damaged or stale; with ``rebuild`` in any case.

        Searches that run in other processes continue with the old one.

        Raises:
            StorageError: the disk is full, or the folder cannot be read or written.
        """
        self.close()
        self._index.ensure(rebuild=rebuild)

    def is_indexed(self) -> bool:
        """Whether the index on disk is undamaged and belongs to these ideas."""
        return self._index.is_whole()

    def __len__(self) -> int:
        return len(self._ideas)

    def __iter__(self) -> Iterator[Idea]:
        return iter(self._ideas.values())

    def get(self, idea_id: str) -> Idea | None:
        """The idea with that id or unique prefix of an id; ``None`` if no idea or several match."""
        if idea_id in self._ideas:
            return self._ideas[idea_id]
        found = [known for known in self._ideas if known.startswith(idea_id)] if idea_id else []
        return self._ideas[found[0]] if len(found) == 1 else None

    def find(self, filters: IdeaFilter) -> tuple[Idea, ...]:
        """Every idea that passes, in the order of ids."""
        return tuple(idea for idea in self if filters.passes(idea))

    def counts(self, fairness: Fairness) -> Mapping[Key, int]:
        """The number of ideas of each fairness key; keys without ideas are left out."""
        return {key: len(ideas) for key, ideas in self._by_key[fairness].items()}

    def draw(self, fairness: Fairness, key: Key, generator: np.random.Generator) -> Idea:
        """One idea of that key, uniformly: a function of the ideas and ``generator`` alone.

        Raises:
            ValueError: no idea has that key.
        """
        ideas = self._by_key[fairness].get(key)
        if ideas is None:
            raise ValueError(f"no idea has the key {' / '.join(key)!r} at level {fairness}")
        return draw(ideas, generator)

    def search(self, text: str, filters: IdeaFilter | None = None, *, limit: int = 10) -> list[Match]:
        """The ideas closest in meaning to ``text``, closest first, each with its cosine similarity in [-1, 1].

        Args:
            filters: what the ideas must be; by default all are searched.
            limit: the largest number of ideas, at least 1.

        Raises:
            ValueError: ``limit`` is below 1.
            IdeaIndexError: the embedder's vectors have another length than those of the index.
            StorageError: the disk is full, or the folder cannot be read or written.
        """
        return self._nearest(lambda: self._embed([text])[0], filters or IdeaFilter(), limit)

    def neighbours(self, idea_id: str, filters: IdeaFilter | None = None, *, limit: int = 10) -> list[Match]:
        """The ideas closest in meaning to one of the store, without itself; as :meth:`search`.

        Raises:
            LookupError: there is no such idea.
            ValueError, IdeaIndexError, StorageError: as :meth:`search`.
        """
        if idea_id not in self._ideas:
            raise LookupError(f"there is no idea {idea_id}")

        def vector() -> NDArray[np.float32]:
            embeddings = self._open().get(ids=[idea_id], include=["embeddings"])["embeddings"]
            return np.array(embeddings, dtype=np.float32).reshape(-1)

        found = self._nearest(vector, filters or IdeaFilter(), limit + 1)
        return [match for match in found if match[0].idea_id != idea_id][:limit]

    def close(self) -> None:
        """Close the index and remove its copy; a second call does nothing."""
        with self._lock:
            self._collection = None
            self._resources.close()

    def _nearest(self, query: Callable[[], NDArray[np.float32]], filters: IdeaFilter, limit: int) -> list[Match]:
        if limit < 1:
            raise ValueError(f"expected a limit of at least 1, found {limit}")
        ids = [idea.idea_id for idea in self.find(filters)] if filters else None
        num_passing = len(self) if ids is None else len(ids)
        if not num_passing:
            return []
        collection = self._open()
        try:
            found = collection.query(
                query_embeddings=query()[None], ids=ids, n_results=min(limit, num_passing), include=["distances"]
            )
        except import_chroma().errors.InvalidArgumentError as error:
            raise IdeaIndexError(
                f"{self._embed.name} no longer fits the index ({str(error)[:1].lower()}{str(error)[1:]}): "
                "rebuild it with `python -m graphs.search index --rebuild`"
            ) from error
        assert found["distances"] is not None
        pairs = zip(found["ids"][0], found["distances"][0], strict=True)
        return sorted(
            ((self._ideas[idea_id], 1 - float(distance)) for idea_id, distance in pairs),
            key=lambda match: (-match[1], match[0].idea_id),
        )

    def _open(self) -> Collection:
        with self._lock:
            if self._collection is None:
                self._collection = self._resources.enter_context(self._index.open_copy())
            return self._collection

    def _group(self, fairness: Fairness) -> dict[Key, list[Idea]]:
        grouped: dict[Key, list[Idea]] = {}
        for idea in self:
            if idea.tag is None:
                raise ValueError(f"expected ideas with a tag, found none on {idea.text!r}")
            grouped.setdefault(fairness_key(idea.tag, fairness), []).append(idea)
        return grouped
