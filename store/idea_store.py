"""𝒟kn: the design ideas of a run, to be drawn fairly and searched by meaning.

The ideas themselves are given by the caller; what lies on disk is a Chroma index of them that can be built again at
any time. Drawing needs no index and is a matter of microseconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray

from fairnad.candidate import plain
from fairnad.ideas import Idea
from fairnad.sampling import Fairness, Key, draw, fairness_key
from store.disk import disk_errors, is_sealed, lock, seal, storage_error

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection
    from chromadb.api.types import Where

_COLLECTION = "ideas"
_FILTERS = ("target", "granularity", "main", "sub", "title", "year")
_BATCH_SIZE = 1000


class Embedder(Protocol):
    """Turns texts into vectors of shape (num_texts, dimension), float32."""

    @property
    def name(self) -> str:
        """Changes whenever the same text would get another vector."""

    @property
    def dimension(self) -> int:
        """The length of a vector."""

    def __call__(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """One vector a text."""


class ChromaIdeaStore:
    """:class:`fairnad.ports.IdeaStore` with a search by meaning; may be used by several threads.

    The index lies in ``folder/index``, sealed by the checksums of its files, and Chroma opens a copy of it. Chroma
    writes to an index it only reads, so that two processes on one index, or one that is killed, could tear it; and a
    torn vector file does not raise but ends the process with a segmentation fault.
    """

    def __init__(self, folder: Path, ideas: Sequence[Idea], embed: Embedder) -> None:
        self._folder = folder
        self._embed = embed
        self._ideas = {idea.idea_id: idea for idea in sorted(ideas, key=lambda idea: idea.idea_id)}
        if len(self._ideas) != len(ideas):
            raise ValueError(f"expected distinct ideas, found {len(ideas) - len(self._ideas)} twice")
        self._by_key = {fairness: self._grouped(fairness) for fairness in Fairness}
        self._digest = _digest(self._ideas.values(), embed)
        self._lock = threading.Lock()
        self._resources = contextlib.ExitStack()
        self._collection: Collection | None = None

    @classmethod
    def open(cls, folder: Path, ideas: Sequence[Idea], embed: Embedder) -> Self:
        """A store of ``ideas`` with its index in ``folder``, built where it is missing, damaged or of other ideas.

        Raises:
            ValueError: an idea is there twice, or carries no tag.
            StorageError: the disk is full, or the folder cannot be read or written.
        """
        store = cls(folder, ideas, embed)
        with store._locked_folder():
            store._ensure_index()
        return store

    def is_indexed(self) -> bool:
        """Whether the index on disk is whole and one of these ideas; otherwise it is built when it is opened."""
        return is_sealed(self._folder / "index", self._digest)

    def __len__(self) -> int:
        return len(self._ideas)

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

    def search(
        self, text: str, *, limit: int = 10, where: Mapping[str, str | int] | None = None
    ) -> list[tuple[Idea, float]]:
        """The ideas closest in meaning to ``text``, closest first, each with its cosine similarity in [-1, 1].

        Args:
            limit: how many at most, at least 1.
            where: values that target, granularity, main, sub, title or year must have.

        Raises:
            ValueError: ``limit`` is below 1, or ``where`` names something else.
            StorageError: the disk is full, or the folder cannot be read or written.
        """
        if limit < 1:
            raise ValueError(f"expected a limit of at least 1, found {limit}")
        if not self._ideas:
            return []
        with self._lock:
            if self._collection is None:
                self._collection = self._open_copy()
        found = self._collection.query(
            query_embeddings=self._embed([text]),
            n_results=min(limit, len(self)),
            where=_where(where or {}),
            include=["distances"],
        )
        assert found["distances"] is not None
        pairs = zip(found["ids"][0], found["distances"][0], strict=True)
        return [(self._ideas[idea_id], 1 - float(distance)) for idea_id, distance in pairs]

    def close(self) -> None:
        """Let go of the index; a second time changes nothing."""
        with self._lock:
            self._collection = None
            self._resources.close()

    def _grouped(self, fairness: Fairness) -> dict[Key, list[Idea]]:
        grouped: dict[Key, list[Idea]] = {}
        for idea in self._ideas.values():
            if idea.tag is None:
                raise ValueError(f"expected ideas with a tag, found none on {idea.text!r}")
            grouped.setdefault(fairness_key(idea.tag, fairness), []).append(idea)
        return grouped

    @contextlib.contextmanager
    def _locked_folder(self) -> Iterator[None]:
        with disk_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / "lock").touch()
            held = lock(self._folder / "lock", wait=True)
            try:
                yield
            finally:
                os.close(held)

    def _ensure_index(self) -> Path:
        index = self._folder / "index"
        if not self.is_indexed():
            for left_over in (index, *self._folder.glob("partial-*")):
                shutil.rmtree(left_over, ignore_errors=True)
            # Never the same name twice: Chroma keeps what it failed to open, by its path, as long as the process lives.
            partial = Path(tempfile.mkdtemp(prefix="partial-", dir=self._folder))
            self._build(partial)
            partial.rename(index)
        return index

    def _build(self, folder: Path) -> None:
        with _chroma_errors(folder), contextlib.closing(_client(folder)) as client:
            collection = client.create_collection(
                _COLLECTION, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
            )
            ids = list(self._ideas)
            for start in range(0, len(ids), _BATCH_SIZE):
                ideas = [self._ideas[idea_id] for idea_id in ids[start : start + _BATCH_SIZE]]
                collection.add(
                    ids=[idea.idea_id for idea in ideas],
                    embeddings=self._embed([idea.text for idea in ideas]),
                    metadatas=[_metadata(idea) for idea in ideas],
                )
        seal(folder, self._digest)

    def _open_copy(self) -> Collection:
        with contextlib.ExitStack() as undo:
            with self._locked_folder():
                index = self._ensure_index()
                _remove_abandoned(self._folder)
                copy = Path(tempfile.mkdtemp(prefix="open-", dir=self._folder))
                undo.callback(shutil.rmtree, copy, ignore_errors=True)
                undo.callback(os.close, lock(copy, wait=True))
                shutil.copytree(index, copy, dirs_exist_ok=True)
            with _chroma_errors(copy):
                client = undo.enter_context(contextlib.closing(_client(copy)))
                collection = client.get_collection(_COLLECTION, embedding_function=None)
            self._resources.push(undo.pop_all())
            return collection


def _client(folder: Path) -> Client:
    import chromadb  # about a second, and drawing needs none of it
    from chromadb.config import Settings

    return cast("Client", chromadb.PersistentClient(folder.absolute(), Settings(anonymized_telemetry=False)))


@contextlib.contextmanager
def _chroma_errors(folder: Path) -> Iterator[None]:
    """Chroma has just been given an intact folder of its own: what it cannot do is the disk's fault."""
    from chromadb.errors import ChromaError

    try:
        yield
    except ChromaError as error:
        raise storage_error(folder, str(error)) from error


def _remove_abandoned(folder: Path) -> None:
    """Remove the copies of processes that were killed: those that nobody holds a lock on."""
    for copy in folder.glob("open-*"):
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            held = lock(copy, wait=False)
            shutil.rmtree(copy, ignore_errors=True)
            os.close(held)


def _digest(ideas: Iterable[Idea], embed: Embedder) -> str:
    content = [version("chromadb"), embed.name, embed.dimension, *(plain(idea) for idea in ideas)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _metadata(idea: Idea) -> dict[str, str | int]:
    values = {**plain(idea.tag), "title": idea.source.title, "year": idea.source.year}
    return {name: value for name, value in values.items() if value is not None}


def _where(values: Mapping[str, str | int]) -> Where | None:
    for name in values:
        if name not in _FILTERS:
            raise ValueError(f"unknown filter {name!r}: expected one of {', '.join(_FILTERS)}")
    clauses = [cast("Where", {name: value}) for name, value in values.items()]
    return {"$and": clauses} if len(clauses) > 1 else clauses[0] if clauses else None
