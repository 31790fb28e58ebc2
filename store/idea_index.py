"""The index of an idea store on disk: a Chroma collection and the bare vectors, sealed by checksums.

Chroma writes to an index it only reads, so that two processes on one index, or one that is killed, could tear it; and a
torn vector file does not raise but ends the process with a segmentation fault. So what lies on disk is never opened
by Chroma: it opens a copy. The bare vectors beside it are mapped into memory and read where they lie.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from fairnad.ideas.idea import Idea
from fairnad.records.candidate import plain
from store.chroma import import_chroma
from store.disk import disk_errors, is_sealed, lock, seal, storage_error

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]

_COLLECTION = "ideas"
_VECTORS = "vectors.npy"
_BATCH_SIZE = 1000
_COPY_PREFIX = "fairnad-ideas-"


class IdeaIndex:
    """The index of some ideas in ``folder/index``; ``label`` changes whenever it would be another one.

    Any number of processes may read it at once, and one may build it meanwhile: a finished index takes the place of
    the old one by a rename, under a lock that readers share for as long as it takes to copy or to map it.
    """

    def __init__(self, folder: Path, label: str) -> None:
        self._folder = folder
        self._label = label

    @property
    def _index(self) -> Path:
        return self._folder / "index"

    @property
    def _lock(self) -> Path:
        return self._folder / "lock"

    def is_whole(self) -> bool:
        """Whether it is there, undamaged, and the one that ``label`` names."""
        return is_sealed(self._index, self._label)

    def ensure(self, ideas: Sequence[Idea], embed: Embed, *, anew: bool = False) -> None:
        """Build it where it is missing, damaged or another one; with ``anew`` in any case.

        Raises:
            StorageError: the disk is full, or the folder cannot be read or written.
        """
        with disk_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock.touch()
        with self._locked(shared=False):
            if anew or not self.is_whole():
                for left_over in self._folder.glob("partial-*"):
                    shutil.rmtree(left_over, ignore_errors=True)
                # Never the same name twice: Chroma keeps what it failed to open, by its path, as long as it lives.
                partial = Path(tempfile.mkdtemp(prefix="partial-", dir=self._folder))
                self._build(partial, ideas, embed)
                shutil.rmtree(self._index, ignore_errors=True)
                partial.rename(self._index)

    def map_vectors(self) -> Vectors | None:
        """One row an idea, of length 1, in the order they were indexed; ``None`` where the index is not whole.

        They are read from the disk when they are looked at, and stay those of this index when another one takes its
        place.
        """
        if not self._lock.is_file():
            return None
        with self._locked(shared=True):
            return np.load(self._index / _VECTORS, mmap_mode="r") if self.is_whole() else None

    @contextlib.contextmanager
    def open_copy(self) -> Iterator[Collection | None]:
        """Chroma's collection, in a copy among the system's temporary files; ``None`` where the index is not whole.

        Raises:
            StorageError: the disk is full, or a folder cannot be read or written.
        """
        with contextlib.ExitStack() as opened:
            copy = self._copy(opened)
            if copy is None:
                yield None
                return
            with _chroma_errors(copy):
                client = opened.enter_context(contextlib.closing(_client(copy)))
                collection = client.get_collection(_COLLECTION, embedding_function=None)
            yield collection

    def _copy(self, opened: contextlib.ExitStack) -> Path | None:
        """A copy that is removed with ``opened``, or by whoever comes next where this process is killed."""
        if not self._lock.is_file():
            return None
        place = Path(tempfile.gettempdir())
        with disk_errors(place):
            _remove_abandoned(place)
            copy, held = _make_copy_folder(place)
        opened.callback(shutil.rmtree, copy, ignore_errors=True)
        opened.callback(os.close, held)
        with self._locked(shared=True), disk_errors(copy):
            if not self.is_whole():
                return None
            shutil.copytree(self._index, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns(_VECTORS))
        return copy

    @contextlib.contextmanager
    def _locked(self, *, shared: bool) -> Iterator[None]:
        with disk_errors(self._folder):
            held = lock(self._lock, wait=True, shared=shared)
            try:
                yield
            finally:
                os.close(held)

    def _build(self, folder: Path, ideas: Sequence[Idea], embed: Embed) -> None:
        batches = []
        with _chroma_errors(folder), contextlib.closing(_client(folder)) as client:
            collection = client.create_collection(
                _COLLECTION, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
            )
            for start in range(0, len(ideas), _BATCH_SIZE):
                batch = ideas[start : start + _BATCH_SIZE]
                batches.append(unit_rows(embed([idea.text for idea in batch])))
                collection.add(
                    ids=[idea.idea_id for idea in batch],
                    embeddings=batches[-1],
                    metadatas=[_metadata(idea) for idea in batch],
                )
        vectors = np.concatenate(batches) if batches else np.zeros((0, 1), dtype=np.float32)
        np.save(folder / _VECTORS, vectors)
        seal(folder, self._label)


def unit_rows(vectors: Vectors) -> Vectors:
    """``vectors`` with rows of length 1; rows of zeros stay as they are."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def _client(folder: Path) -> Client:
    chromadb = import_chroma()
    return cast("Client", chromadb.PersistentClient(folder.absolute(), chromadb.Settings(anonymized_telemetry=False)))


@contextlib.contextmanager
def _chroma_errors(folder: Path) -> Iterator[None]:
    """Chroma has just been given an intact folder of its own: what it cannot do is the disk's fault."""
    chroma_error: type[Exception] = import_chroma().errors.ChromaError

    try:
        yield
    except chroma_error as error:
        raise storage_error(folder, str(error)) from error


def _make_copy_folder(place: Path) -> tuple[Path, int]:
    """A new folder and the lock on it; made again where :func:`_remove_abandoned` was quicker than the lock."""
    while True:
        copy = Path(tempfile.mkdtemp(prefix=_COPY_PREFIX, dir=place))
        with contextlib.suppress(FileNotFoundError):
            held = lock(copy, wait=True)
            if copy.is_dir():
                return copy, held
            os.close(held)


def _remove_abandoned(place: Path) -> None:
    """Remove the copies of processes that were killed: those that nobody holds a lock on."""
    for copy in place.glob(f"{_COPY_PREFIX}*"):
        with contextlib.suppress(BlockingIOError, FileNotFoundError, PermissionError):
            held = lock(copy, wait=False)
            shutil.rmtree(copy, ignore_errors=True)
            os.close(held)


def _metadata(idea: Idea) -> Mapping[str, str | int]:
    values = {**plain(idea.tag), "title": idea.source.title, "year": idea.source.year, "link": idea.source.link}
    return {name: value for name, value in values.items() if value is not None}
