"""The modules a search can compose from, searched by what they do: a Chroma collection in memory.

What it holds is in the pack and in the history of the run, so nothing is lost with it and nothing of it lies on disk.
"""

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
"""Of distances; modules that differ by less are in the order of their ids, whichever came first."""


class ChromaModuleStore:
    """Checked modules by meaning; may be used by several threads. Chroma is loaded with the first module.

    Args:
        embed: makes vectors of what modules do, of shape (num_texts, dimension), float32.
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
        """Take modules in; those that are there already stay as they are."""
        with self._lock:
            new = {module.module_id: module for module in modules if module.module_id not in self._modules}
            if not new:
                return
            metadatas: list[Any] = [{"name": module.name, "contract": CONTRACT} for module in new.values()]
            texts = [module.does for module in new.values()]
            self._opened().add(ids=list(new), embeddings=self._embed(texts), documents=texts, metadatas=metadatas)
            self._modules |= new

    def get(self, module_id: str) -> CheckedModule | None:
        """The module of that id, ``None`` where there is none."""
        return self._modules.get(module_id)

    def nearest(self, text: str, among: Collection[str]) -> list[CheckedModule]:
        """Some modules, those first that do what is closest in meaning to ``text``.

        Args:
            among: the ids of those that are meant, each of them in the store.
        """
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
        """Let go of the collection; a second time changes nothing."""
        with self._lock:
            if self._client is not None and self._collection is not None:
                self._client.delete_collection(self._collection.name)
                self._client.close()
            self._client = self._collection = None
            self._modules = {}

    def _opened(self) -> ChromaCollection:
        if self._collection is None:
            chromadb = import_chroma()
            # Chroma keeps one memory for all clients of a process, so the name is this store's own.
            client: Any = chromadb.EphemeralClient(chromadb.Settings(anonymized_telemetry=False))
            self._client = client
            self._collection = client.create_collection(
                f"modules-{uuid.uuid4().hex}", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
            )
        return self._collection
