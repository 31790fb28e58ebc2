"""Lists the files of a user's image folder."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fairnad.domain.task import LeftOut
from tools.datasets.folder_form import claims_image, entries, folders, is_folder, read_form, refuse_inner_parts
from tools.datasets.splits import Part


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file below a class folder; ``name`` is relative to the data folder, ``problem`` is from its status."""

    name: str
    part: Part
    label: int
    num_bytes: int
    changed_ns: int
    problem: LeftOut | None


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """All files in a fixed order, and image files outside the class folders."""

    root: Path
    class_names: tuple[str, ...]
    parts: frozenset[Part]
    files: tuple[ListedFile, ...]
    strays: tuple[str, ...]

    def path(self, file: ListedFile) -> Path:
        """The path of a file."""
        return self.root / file.name

    def digest(self) -> str:
        """Sixteen hexadecimal digits that depend on name, size and modification time of all files."""
        lines = (f"{file.name}\0{file.num_bytes}\0{file.changed_ns}\0{file.problem}\n" for file in self.files)
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def list_folder(root: Path) -> Listing:
    """List a data folder, without hidden files and folders.

    Raises:
        TaskError: the folder is missing or cannot be read, or has another layout.
    """
    form = read_form(root)
    labels = {name: label for label, name in enumerate(form.class_names)}
    files = [
        _list_file(root, path, part, labels[folder.name])
        for part, place in form.places.items()
        for folder in folders(place)
        for path in _files_below(root, folder, {_identity(root), _identity(place)})
    ]
    strays = [
        path
        for place in {root, *form.places.values()}
        for path in entries(place)
        if claims_image(path) and not is_folder(path)
    ]
    return Listing(
        root=root,
        # Escaped rather than replaced, so that names stay distinct.
        class_names=tuple(os.fsencode(name).decode("utf-8", "backslashreplace") for name in form.class_names),
        parts=frozenset(form.places),
        files=tuple(files),
        strays=tuple(sorted(str(path.relative_to(root)) for path in strays)),
    )


def _files_below(root: Path, folder: Path, above: Iterable[tuple[int, int]]) -> Iterator[Path]:
    """All files at any depth; links to enclosing folders are not followed.

    Raises:
        TaskError: a folder cannot be read, or contains parts.
    """
    inside = {*above, _identity(folder)}
    found = [(path, is_folder(path)) for path in entries(folder)]
    refuse_inner_parts(root, folder, [path for path, is_inner in found if is_inner])
    for path, is_inner in found:
        if not is_inner:
            yield path
        elif _identity(path) not in inside:
            yield from _files_below(root, path, inside)


def _identity(folder: Path) -> tuple[int, int]:
    """Identifies a folder, whatever links lead to it."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _list_file(root: Path, path: Path, part: Part, label: int) -> ListedFile:
    name = str(path.relative_to(root))
    try:
        status = path.stat()
    except OSError:
        return ListedFile(name, part, label, 0, 0, LeftOut.UNREADABLE)
    return ListedFile(name, part, label, status.st_size, status.st_mtime_ns, _problem(status))


def _problem(status: os.stat_result) -> LeftOut | None:
    if not stat.S_ISREG(status.st_mode):
        return LeftOut.NO_IMAGE  # opening a pipe would wait for a writer
    return None if status.st_size else LeftOut.EMPTY
