"""Index of the module library: a Chroma collection in memory, rebuilt from the pack and the history of the run."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fairnad.ideas.checked_modules import CONTRACT, CheckedModule
from store.chroma import import_chroma

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection as ChromaCollection

Embed = Callable[[Sequence[str]], NDArray[np.float32]]

_DECIMALS = 6
"""Distances are rounded to this many decimals; modules of equal distance are ordered by id."""


class ChromaModuleStore:
    """Checked modules by meaning; thread-safe. Chroma is imported with the first module.

    Args:
        embed: maps descriptions to vectors of shape (num_texts, dimension), float32.
    """

    def __init__(self, embed: Embed) -> None:
        self._embed = embed
        self._modules: dict[str, CheckedModule] = {}
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._collection: ChromaCollection | None = None

    def __len__(self) -> int:
        return len(self._modules)

    def add(self, modules: Iterable[CheckedModule]) -> None:
        """Add modules; known ids are skipped."""
        with self._lock:
            new = {module.module_id: module for module in modules if module.module_id not in self._modules}
            if not new:
                return
            metadatas: list[Any] = [{"name": module.name, "contract": CONTRACT} for module in new.values()]
            texts = [module.does for module in new.values()]
            self._open().add(ids=list(new), embeddings=self._embed(texts), documents=texts, metadatas=metadatas)
            self._modules |= new

    def get(self, module_id: str) -> CheckedModule | None:
        """The module of an id, or ``None``."""
        return self._modules.get(module_id)

    def nearest(self, text: str, among: Collection[str]) -> list[CheckedModule]:
        """The modules ``among`` the given ids, which are in the store, ordered by distance to ``text``."""
        with self._lock:
            if not among or self._collection is None:
                return []
            found = self._collection.query(
                query_embeddings=self._embed([text]), ids=sorted(among), n_results=len(among), include=["distances"]
            )
        assert found["distances"] is not None
        ranked = sorted(
            (round(float(distance), _DECIMALS), name)
            for name, distance in zip(found["ids"][0], found["distances"][0], strict=True)
        )
        return [self._modules[name] for _, name in ranked]

    def close(self) -> None:
        """Delete the collection; idempotent."""
        with self._lock:
            if self._client is not None and self._collection is not None:
                self._client.delete_collection(self._collection.name)
                self._client.close()
            self._client = self._collection = None
            self._modules = {}

    def _open(self) -> ChromaCollection:
        if self._collection is None:
            chromadb = import_chroma()
            # All clients of a process share Chroma's memory, so the name must be unique.
            client: Any = chromadb.EphemeralClient(chromadb.Settings(anonymized_telemetry=False))
            self._client = client
            self._collection = client.create_collection(
                f"modules-{uuid.uuid4().hex}", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
            )
        return self._collection
