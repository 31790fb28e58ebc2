"""The Chroma index of an idea store on disk, sealed by checksums.

Chroma writes to an index even when it only reads, so two processes on one index, or a killed one, can corrupt it; and a
corrupt vector file ends the process with a segmentation fault. Chroma therefore never opens the index on disk: each
process opens a copy whose checksums were right.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from fairnad.ideas.idea import Idea
from store.chroma import import_chroma
from store.disk import disk_errors, is_sealed, lock, seal, storage_error

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]

_COLLECTION = "ideas"
_EF_SEARCH = 200
"""Candidates that Chroma's HNSW graph keeps in a search; ``benchmarks/idea_store.py`` measures the recall."""
_BATCH_SIZE = 1000
_COPY_PREFIX = "fairnad-ideas-"


class IdeaIndex:
    """The index of ``ideas`` in ``folder/index``.

    Any number of processes may use it at once. A finished index replaces the old one by a rename, under a lock on the
    folder that others hold only while they copy it.

    Args:
        label: identifies the content; an index with another label is stale.
        embed: turns texts into vectors of shape (num_texts, dimension), float32.
    """

    def __init__(self, folder: Path, label: str, ideas: Sequence[Idea], embed: Embed) -> None:
        self._folder = folder
        self._index = folder / "index"
        self._label = label
        self._ideas = ideas
        self._embed = embed

    def is_whole(self) -> bool:
        """Whether the index exists, is undamaged and has this label."""
        return is_sealed(self._index, self._label)

    def ensure(self, *, rebuild: bool = False) -> None:
        """Build the index if it is missing, damaged or stale; with ``rebuild`` in any case.

        Raises:
            StorageError: the disk is full, or the folder cannot be read or written.
        """
        with self._lock_folder():
            self._ensure(rebuild=rebuild)

    @contextlib.contextmanager
    def open_copy(self) -> Iterator[Collection]:
        """Chroma's collection in a temporary copy of the index, which is built first if necessary.

        Raises:
            StorageError: the disk is full, or a folder cannot be read or written.
        """
        with contextlib.ExitStack() as opened:
            copy = opened.enter_context(_temporary_folder())
            with self._lock_folder(), disk_errors(copy):
                self._ensure(rebuild=False)
                shutil.copytree(self._index, copy, dirs_exist_ok=True)
            with _chroma_errors(copy):
                client = opened.enter_context(contextlib.closing(_client(copy)))
                collection = client.get_collection(_COLLECTION, embedding_function=None)
            yield collection

    @contextlib.contextmanager
    def _lock_folder(self) -> Iterator[None]:
        with disk_errors(self._folder), contextlib.ExitStack() as undo:
            if not self._folder.is_dir():
                self._folder.mkdir(parents=True, exist_ok=True)
            undo.callback(os.close, lock(self._folder, wait=True))
            yield

    def _ensure(self, *, rebuild: bool) -> None:
        if self.is_whole() and not rebuild:
            return
        for abandoned in self._folder.glob("partial-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        # Never the same name twice: Chroma caches what it failed to open by its path.
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=self._folder))
        self._build(partial)
        shutil.rmtree(self._index, ignore_errors=True)
        partial.rename(self._index)

    def _build(self, folder: Path) -> None:
        with _chroma_errors(folder), contextlib.closing(_client(folder)) as client:
            collection = client.create_collection(
                _COLLECTION,
                embedding_function=None,
                configuration={"hnsw": {"space": "cosine", "ef_search": _EF_SEARCH}},
            )
            for start in range(0, len(self._ideas), _BATCH_SIZE):
                batch = self._ideas[start : start + _BATCH_SIZE]
                collection.add(
                    ids=[idea.idea_id for idea in batch], embeddings=self._embed([idea.text for idea in batch])
                )
        seal(folder, self._label)


def _client(folder: Path) -> Client:
    chromadb = import_chroma()
    return cast("Client", chromadb.PersistentClient(folder.absolute(), chromadb.Settings(anonymized_telemetry=False)))


@contextlib.contextmanager
def _chroma_errors(folder: Path) -> Iterator[None]:
    """Chroma works on its own intact copy, so its errors are disk errors."""
    chroma_error: type[Exception] = import_chroma().errors.ChromaError
    try:
        yield
    except chroma_error as error:
        raise storage_error(folder, str(error)) from error


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A locked folder among the system's temporary files; those of killed processes are removed first."""
    root = Path(tempfile.gettempdir())
    with disk_errors(root), contextlib.ExitStack() as undo:
        for abandoned in root.glob(f"{_COPY_PREFIX}*"):
            with contextlib.suppress(BlockingIOError, FileNotFoundError, PermissionError):
                held = lock(abandoned, wait=False)
                shutil.rmtree(abandoned, ignore_errors=True)
                os.close(held)
        # Locked before it has the prefix: another process removes what has the prefix and no lock.
        unnamed = Path(tempfile.mkdtemp(prefix="new-", dir=root))
        undo.callback(os.close, lock(unnamed, wait=True))
        folder = unnamed.rename(root / unnamed.name.replace("new-", _COPY_PREFIX, 1))
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        yield folder
