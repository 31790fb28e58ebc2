"""𝒟kn: the design ideas of a run, to be drawn fairly, filtered exactly, and searched by meaning.

The ideas themselves are given by the caller; what lies on disk is an index of them that can be built again at any
time (:mod:`store.idea_index`). Drawing and filtering need no index and are a matter of micro- and milliseconds.

Where filters are given, or few ideas are there, similarities are computed one by one, exactly; Chroma's graph is asked
where every idea is meant and there are many. Chroma's own filters are slower than that and approximate
(``benchmarks/idea_store.py`` measures both).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from fairnad.errors import IdeaIndexError
from fairnad.ideas.idea import Idea
from fairnad.ideas.idea_filter import IdeaFilter
from fairnad.records.candidate import plain
from fairnad.search.sampling import Fairness, Key, draw, fairness_key
from store.idea_index import IdeaIndex, Vectors, unit_rows

if TYPE_CHECKING:
    from chromadb.api.models.Collection import Collection

EXACT_UP_TO = 5000
"""Ideas that are compared one by one also without a filter: as fast as Chroma, which takes a second to import."""

_FORMAT = 2
"""Of the index on disk; changes whenever one of before cannot be read."""

_FEW = 8
"""Below one row in so many, rows are copied to be compared."""

_NO_YEAR = -(10**9)
"""Before every year that can be asked for."""

Match = tuple[Idea, float]


class Embedder(Protocol):
    """Turns texts into vectors of shape (num_texts, dimension), float32."""

    @property
    def name(self) -> str:
        """Changes whenever the same text would get another vector."""

    def __call__(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """One vector a text."""


class ChromaIdeaStore:
    """:class:`fairnad.ports.IdeaStore` with a search by meaning; may be used by several threads and processes."""

    def __init__(self, folder: Path, ideas: Sequence[Idea], embed: Embedder, *, read_only: bool = False) -> None:
        """A store of ``ideas`` whose index lies in ``folder``; nothing is read or written yet.

        Args:
            read_only: nothing is ever written into ``folder``. Without a whole index there, the vectors are made
                when the first search asks for them, and forgotten with the store.

        Raises:
            ValueError: an idea is there twice, or carries no tag.
        """
        self._embed = embed
        self._read_only = read_only
        self._ideas = {idea.idea_id: idea for idea in sorted(ideas, key=lambda idea: idea.idea_id)}
        if len(self._ideas) != len(ideas):
            raise ValueError(f"expected distinct ideas, found {len(ideas) - len(self._ideas)} twice")
        self._rows = tuple(self._ideas.values())
        self._row_of = {idea_id: row for row, idea_id in enumerate(self._ideas)}
        self._by_key = {fairness: self._grouped(fairness) for fairness in Fairness}
        self._tags = tuple({idea.tag: None for idea in self._rows})
        number = {tag: place for place, tag in enumerate(self._tags)}
        self._tag_of = np.array([number[idea.tag] for idea in self._rows], dtype=np.intp)
        years = [_NO_YEAR if idea.source.year is None else idea.source.year for idea in self._rows]
        self._years = np.array(years, dtype=np.int64)
        self._index = IdeaIndex(folder, _digest(self._rows, embed))
        self._lock = threading.Lock()
        self._resources = contextlib.ExitStack()
        self._vectors: Vectors | None = None
        self._collection: Collection | None = None

    @classmethod
    def open(cls, folder: Path, ideas: Sequence[Idea], embed: Embedder) -> Self:
        """A store of ``ideas`` with its index in ``folder``, as by :meth:`ensure_index`.

        Raises:
            ValueError: an idea is there twice, or carries no tag.
            StorageError: the disk is full, or the folder cannot be read or written.
        """
        store = cls(folder, ideas, embed)
        store.ensure_index()
        return store

    def ensure_index(self, *, anew: bool = False) -> None:
        """Build the index where it is missing, damaged, or of other ideas; with ``anew`` in any case.

        Searches under way in other processes go on with the old one.

        Raises:
            ValueError: the store is open for reading alone.
            StorageError: the disk is full, or the folder cannot be read or written.
        """
        if self._read_only:
            raise ValueError("a store that is open for reading builds no index")
        self.close()
        self._index.ensure(self._rows, self._embed, anew=anew)

    def is_indexed(self) -> bool:
        """Whether the index on disk is whole and one of these ideas; otherwise it is built when it is opened."""
        return self._index.is_whole()

    def __len__(self) -> int:
        return len(self._ideas)

    def __iter__(self) -> Iterator[Idea]:
        return iter(self._rows)

    def get(self, idea_id: str) -> Idea | None:
        """The idea of that id, or of the only id that begins so; ``None`` where there is none, or several."""
        if idea_id in self._ideas:
            return self._ideas[idea_id]
        found = [known for known in self._ideas if known.startswith(idea_id)] if idea_id else []
        return self._ideas[found[0]] if len(found) == 1 else None

    def find(self, filters: IdeaFilter) -> tuple[Idea, ...]:
        """Every idea that passes, in the order of ids: exact, by no index."""
        return tuple(self._rows[row] for row in self._passing(filters))

    def counts(self, fairness: Fairness) -> Mapping[Key, int]:
        """How many ideas each fairness key holds; keys without ideas are left out."""
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
            filters: what the ideas must be, all of them where it is left out.
            limit: how many at most, at least 1.

        Raises:
            ValueError: ``limit`` is below 1.
            IdeaIndexError: the embedder now gives vectors of another length than those of the index.
            StorageError: the disk is full, or the folder cannot be read or written.
        """
        return self._nearest(lambda: unit_rows(self._embed([text]))[0], filters or IdeaFilter(), limit)

    def neighbours(self, idea_id: str, filters: IdeaFilter | None = None, *, limit: int = 10) -> list[Match]:
        """The ideas closest in meaning to one of the store, without itself; as :meth:`search`.

        Raises:
            LookupError: there is no such idea.
            ValueError, IdeaIndexError, StorageError: as :meth:`search`.
        """
        if idea_id not in self._row_of:
            raise LookupError(f"there is no idea {idea_id}")
        row = self._row_of[idea_id]
        found = self._nearest(lambda: np.asarray(self._loaded_vectors()[row]), filters or IdeaFilter(), limit + 1)
        return [match for match in found if match[0].idea_id != idea_id][:limit]

    def close(self) -> None:
        """Let go of the index; a second time changes nothing."""
        with self._lock:
            self._collection = self._vectors = None
            self._resources.close()

    def _nearest(self, query: Callable[[], Vectors], filters: IdeaFilter, limit: int) -> list[Match]:
        if limit < 1:
            raise ValueError(f"expected a limit of at least 1, found {limit}")
        if filters or len(self) <= EXACT_UP_TO:
            rows = self._passing(filters)
            return self._compare(query(), rows, limit) if len(rows) else []
        collection = self._opened_collection()
        if collection is None:
            return self._compare(query(), self._passing(filters), limit)
        vector = self._checked(query())
        found = collection.query(query_embeddings=vector[None], n_results=min(limit, len(self)), include=["distances"])
        assert found["distances"] is not None
        pairs = zip(found["ids"][0], found["distances"][0], strict=True)
        return [(self._ideas[idea_id], 1 - float(distance)) for idea_id, distance in pairs]

    def _compare(self, query: Vectors, rows: NDArray[np.intp], limit: int) -> list[Match]:
        """The most similar of ``rows``, ties by id."""
        vectors = self._loaded_vectors()
        query = self._checked(query)
        # A copy of many rows costs more than the product with all of them, where they lie.
        is_few = len(rows) * _FEW < len(vectors)
        similarities = _products(vectors[rows], query) if is_few else _products(vectors, query)[rows]
        limit = min(limit, len(rows))
        # Everything at least as similar as the last that is wanted, so that ties are settled by id, not by chance.
        last = np.partition(similarities, -limit)[-limit]
        candidates = np.flatnonzero(similarities >= last)
        best = candidates[np.argsort(-similarities[candidates], kind="stable")][:limit]
        return [(self._rows[rows[place]], float(similarities[place])) for place in best]

    def _passing(self, filters: IdeaFilter) -> NDArray[np.intp]:
        """The rows of the ideas that pass, in their order: what ``filters.passes`` says, all ideas at once."""
        passing_tags = np.array([filters.passes_tag(tag) for tag in self._tags], dtype=bool)
        passing = passing_tags[self._tag_of] if len(self) else np.zeros(0, dtype=bool)
        if filters.since is not None:
            passing &= self._years >= filters.since
        if filters.until is not None:
            passing &= (self._years <= filters.until) & (self._years != _NO_YEAR)
        rows = np.flatnonzero(passing)
        if filters.title:
            rows = np.array([row for row in rows if filters.passes_source(self._rows[row])], dtype=np.intp)
        return rows

    def _checked(self, query: Vectors) -> Vectors:
        length = self._loaded_vectors().shape[1]
        if query.shape != (length,):
            raise IdeaIndexError(
                f"the index holds vectors of {length} numbers, {self._embed.name} now gives {query.shape[-1]}: "
                "build it anew with `python -m graphs.search index --anew`"
            )
        return query

    def _loaded_vectors(self) -> Vectors:
        with self._lock:
            while self._vectors is None:
                self._vectors = self._index.map_vectors()
                if self._vectors is None and self._read_only:
                    self._vectors = unit_rows(self._embed([idea.text for idea in self._rows]))
                elif self._vectors is None:
                    self._index.ensure(self._rows, self._embed)
            return self._vectors

    def _opened_collection(self) -> Collection | None:
        """Chroma's, in a copy; ``None`` where a store that only reads has no index."""
        self._loaded_vectors()
        with self._lock:
            if self._collection is None:
                self._collection = self._resources.enter_context(self._index.open_copy())
            return self._collection

    def _grouped(self, fairness: Fairness) -> dict[Key, list[Idea]]:
        grouped: dict[Key, list[Idea]] = {}
        for idea in self._rows:
            if idea.tag is None:
                raise ValueError(f"expected ideas with a tag, found none on {idea.text!r}")
            grouped.setdefault(fairness_key(idea.tag, fairness), []).append(idea)
        return grouped


def _products(vectors: Vectors, query: Vectors) -> Vectors:
    """The product of each row with ``query``, by one thread: two wait for each other where a machine is busy."""
    return np.asarray(np.einsum("ij,j->i", vectors, query))


def _digest(ideas: Iterable[Idea], embed: Embedder) -> str:
    content = [_FORMAT, version("chromadb"), embed.name, *(plain(idea) for idea in ideas)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
