"""The files of a user's image folder: class folders, alone or below train/, val/ and test/."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from fairnad.errors import TaskError
from fairnad.task import LeftOut


class Part(StrEnum):
    """The part of a data set a folder is named for; without such folders all images are in ``TRAIN``."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


_PART_NAMES = {
    "train": Part.TRAIN,
    "val": Part.VALIDATION,
    "valid": Part.VALIDATION,
    "validation": Part.VALIDATION,
    "test": Part.TEST,
}

IMAGE_SUFFIXES = frozenset(
    ".avif .bmp .gif .jp2 .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()  # noqa: SIM905
)
"""Endings that claim a file is an image; what a file is decides its content."""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file below a class folder. ``name`` is relative to the data folder; ``problem`` is what a look at it shows."""

    name: str
    part: Part
    label: int
    num_bytes: int
    changed_ns: int
    problem: LeftOut | None


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """All files in a fixed order, and the files with an image's ending that lie outside the class folders."""

    root: Path
    class_names: tuple[str, ...]
    parts: frozenset[Part]
    files: tuple[ListedFile, ...]
    strays: tuple[str, ...]

    def path(self, file: ListedFile) -> Path:
        """Where a file lies."""
        return self.root / file.name

    def digest(self) -> str:
        """Sixteen hexadecimal digits that change with any file's name, length or time of change."""
        lines = (f"{file.name}\0{file.num_bytes}\0{file.changed_ns}\0{file.problem}\n" for file in self.files)
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def list_folder(root: Path) -> Listing:
    """What lies in a data folder; hidden files and folders are passed over.

    Raises:
        TaskError: the folder is missing or cannot be read, or it has not the form of class folders.
    """
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise TaskError(f"--data {root}: expected a folder of class folders, found {found} there")
    places = _parts(root)
    names = {part: [path.name for path in _folders(place)] for part, place in places.items()}
    class_names = _class_names(root, places, names)
    labels = {name: label for label, name in enumerate(class_names)}
    files = [
        _listed(root, path, part, labels[folder.name])
        for part, place in places.items()
        for folder in _folders(place)
        for path in _files_below(folder, {_identity(root), _identity(place)})
    ]
    strays = [path for place in {root, *places.values()} for path in _entries(place) if _is_stray(path)]
    return Listing(
        root=root,
        # Escaped rather than replaced, so that two names stay two names.
        class_names=tuple(os.fsencode(name).decode("utf-8", "backslashreplace") for name in class_names),
        parts=frozenset(places),
        files=tuple(files),
        strays=tuple(sorted(str(path.relative_to(root)) for path in strays)),
    )


def _parts(root: Path) -> dict[Part, Path]:
    """The folder of each part; the root alone where these names are those of classes, among others.

    Raises:
        TaskError: all folders are named for parts and none for training, two for the same, or others lie beside them.
    """
    places: dict[Part, Path] = {}
    others = []
    for folder in _folders(root):
        part = _PART_NAMES.get(folder.name.lower())
        if part is None:
            others.append(folder.name)
        elif part in places:
            raise TaskError(f"{root}: expected one {part} folder, found {places[part].name} and {folder.name}")
        else:
            places[part] = folder
    if places and not others and Part.TRAIN not in places:
        found = _some([folder.name for folder in places.values()])
        raise TaskError(f"{root}: expected class folders, or a folder train/ that holds some, found {found} alone")
    if others and (Part.TRAIN not in places or not any(True for _ in _folders(places[Part.TRAIN]))):
        return {Part.TRAIN: root}
    if others:
        if len(places) == 1:
            return {Part.TRAIN: root}
        raise TaskError(f"{root} has train/ and, beside it, {_some(others)}; keep train/, val/ and test/ alone in it")
    return {part: places[part] for part in Part if part in places} or {Part.TRAIN: root}


def _class_names(root: Path, places: dict[Part, Path], names: dict[Part, list[str]]) -> list[str]:
    class_names = names[Part.TRAIN]
    for part, found in names.items():
        if unknown := sorted(set(found) - set(class_names)):
            raise TaskError(
                f"{places[part]} has classes that {places[Part.TRAIN]} lacks: {_some(unknown)}; "
                "name the folders alike, or remove them"
            )
    if len(class_names) < 2:
        place = places[Part.TRAIN]
        found_text = f"one, {class_names[0]}" if class_names else "none"
        if len(class_names) == 1 and len(list(_folders(place / class_names[0]))) > 1:
            found_text += f"; did you mean --data {place / class_names[0]}?"
        raise TaskError(f"{place}: expected two or more class folders with images in them, found {found_text}")
    return class_names


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _folders(place: Path) -> Iterator[Path]:
    return (path for path in _entries(place) if _is_folder(path))


def _is_stray(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not _is_folder(path)


def _entries(place: Path) -> list[Path]:
    """What lies in a folder and is neither hidden nor, as ``__MACOSX``, left behind by a program; sorted by name.

    Raises:
        TaskError: the folder cannot be read.
    """
    try:
        return sorted(path for path in place.iterdir() if not path.name.startswith((".", "__")))
    except OSError as error:
        raise TaskError(
            f"{place} cannot be read ({(error.strerror or str(error)).lower()}); mend its permissions"
        ) from error


def _files_below(folder: Path, above: Iterable[tuple[int, int]]) -> Iterator[Path]:
    """Every file at any depth; a link to a folder around it is not followed."""
    inside = {*above, _identity(folder)}
    for path in _entries(folder):
        if not _is_folder(path):
            yield path
        elif _identity(path) not in inside:
            yield from _files_below(path, inside)


def _is_folder(path: Path) -> bool:
    """Whether this is a folder; what cannot be looked at is taken for a file, and left out as one."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _identity(folder: Path) -> tuple[int, int]:
    """What tells a folder from all others, by whatever links it is reached."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _listed(root: Path, path: Path, part: Part, label: int) -> ListedFile:
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
