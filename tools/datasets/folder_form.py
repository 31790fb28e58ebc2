"""Recognises the layout of a user's image folder: class folders, alone or below train/, val/ and test/.

Ambiguous layouts are refused with a question, so that no search treats training and test images,
or photographs and their masks, as classes.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairnad.errors import TaskError
from tools.datasets.image_decoding import FOREIGN_SUFFIXES, IMAGE_SUFFIXES
from tools.datasets.splits import Part

_PART_NAMES = {
    "train": Part.TRAIN,
    "training": Part.TRAIN,
    "val": Part.VALIDATION,
    "valid": Part.VALIDATION,
    "validation": Part.VALIDATION,
    "dev": Part.VALIDATION,
    "eval": Part.VALIDATION,
    "test": Part.TEST,
    "testing": Part.TEST,
}

_PART_WORD = re.compile("training|train|validation|valid|val|dev|evaluation|eval|testing|test")
_IMAGE_WORDS = frozenset({"image", "images", "img", "imgs", "jpegimages", "original", "originals", "input", "inputs"})
_MASK_WORDS = frozenset(
    {"mask", "masks", "label", "labels", "annotation", "annotations", "segmentation", "gt", "truth"}
)
_NO_CLASSES = frozenset({"images", "imgs", "jpegimages", "labels", "masks", "annotations"})
"""Folder names that denote kinds of files, not classes."""

_LABEL_SUFFIXES = frozenset({".csv", ".tsv", ".json", ".jsonl", ".xlsx", ".parquet"})


@dataclass(frozen=True, slots=True)
class Form:
    """The folder that holds the class folders of each part, and the class names in the order of their labels."""

    places: Mapping[Part, Path]
    class_names: tuple[str, ...]


def read_form(root: Path) -> Form:
    """The layout of a data folder; hidden files and folders are ignored.

    Raises:
        TaskError: the folder is missing or cannot be read, or its layout is ambiguous or unknown.
    """
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise TaskError(f"--data {root}: expected a folder of class folders, found {found} there")
    places = _places(root)
    names = {part: [path.name for path in folders(place)] for part, place in places.items()}
    place = places[Part.TRAIN]
    if len(names[Part.TRAIN]) < 2:
        raise TaskError(_too_few(root, place, names[Part.TRAIN]))
    _refuse_flat(places, names)
    for part, found_names in names.items():
        _refuse_twins(places[part], found_names)
    _refuse_part_names(places, names)
    _refuse_masks(place, names[Part.TRAIN])
    _refuse_other_classes(places, names)
    return Form(places, tuple(names[Part.TRAIN]))


def class_folders(root: Path) -> list[str]:
    """Names of folders with images, in ``root`` or in its parts; empty if there are fewer than two."""
    with contextlib.suppress(TaskError):
        places = [root, *(folder for folder in folders(root) if _part(folder.name))]
        for place in places:
            names = [folder.name for folder in folders(place) if _holds_images(folder)]
            if len(names) > 1:
                return names
    return []


def refuse_inner_parts(root: Path, folder: Path, inner: Collection[Path]) -> None:
    """Refuse parts below a class folder.

    Raises:
        TaskError: the folder has folders named like parts.
    """
    found = [path.name for path in inner if _part(path.name)]
    if len({_part(name) for name in found}) > 1 or (found and len(found) == len(inner)):
        wanted = root / found[0] / folder.relative_to(root)
        raise TaskError(
            f"{folder}: expected images of one class, found {_shorten(found)} in it; "
            f"put the parts above the classes ({wanted}), or set --data {folder}, or rename them"
        )


def entries(place: Path) -> list[Path]:
    """The sorted content of a folder, without hidden files and names such as ``__MACOSX``.

    Raises:
        TaskError: the folder cannot be read.
    """
    try:
        return sorted(path for path in place.iterdir() if not path.name.startswith((".", "__")))
    except OSError as error:
        raise TaskError(
            f"{place} cannot be read ({(error.strerror or str(error)).lower()}); fix its permissions"
        ) from error


def folders(place: Path) -> Iterator[Path]:
    """The folders in a folder."""
    return (path for path in entries(place) if is_folder(path))


def is_folder(path: Path) -> bool:
    """Whether this is a folder; False if that cannot be determined."""
    try:
        return path.is_dir()
    except OSError:
        return False


def claims_image(path: Path) -> bool:
    """Whether the suffix is of an image format."""
    return path.suffix.lower() in IMAGE_SUFFIXES or path.suffix.lower() in FOREIGN_SUFFIXES


def _part(name: str) -> Part | None:
    return _PART_NAMES.get(name.strip().casefold())


def _places(root: Path) -> dict[Part, Path]:
    """The folder of each part; only the root if there are no parts.

    Raises:
        TaskError: two folders have the name of one part, none of training, or there are other folders beside them.
    """
    places: dict[Part, Path] = {}
    others = []
    for folder in folders(root):
        part = _part(folder.name)
        if part is None:
            others.append(folder.name)
        elif part in places:
            raise TaskError(
                f"{root}: expected one {part} folder, found {places[part].name} and {folder.name}; merge or move one"
            )
        else:
            places[part] = folder
    if not places:
        return {Part.TRAIN: root}
    if others:
        raise TaskError(_explain_mixture(root, places, others))
    if Part.TRAIN not in places:
        found = _shorten([folder.name for folder in places.values()])
        raise TaskError(f"{root}: expected class folders, or a folder train/ with class folders, found only {found}")
    return {part: places[part] for part in Part if part in places}


def _explain_mixture(root: Path, places: Mapping[Part, Path], others: Sequence[str]) -> str:
    """The message for parts beside other folders."""
    train, named = places.get(Part.TRAIN), [folder.name for folder in places.values()]
    if train and any(folders(train)):
        rename = "" if len(places) > 1 else f", or rename {train.name} if it is a class"
        found = f"{_shorten(others)} beside {train.name}/"
        return f"{root}: expected only train/, val/ and test/, found {found}; move the rest{rename}"
    flat = [f"{folder.name}/" for folder in places.values() if not any(folders(folder))]
    sort = f" and sort the images of {_shorten(flat)} into class folders too, or move them elsewhere" if flat else ""
    rest = _shorten(others)
    return (
        f"{root}: expected only class folders, or only train/, val/ and test/, found {_shorten(named)} beside {rest}; "
        f"is {named[0]} a class? Then rename it. Else move {rest} into {root / 'train'}{sort}"
    )


def _too_few(root: Path, place: Path, names: Sequence[str]) -> str:
    """The message for fewer than two class folders; suggests the folder or file that may be meant."""
    inner = place / names[0] if names else place
    deeper = _unwrap(inner)
    advice = ""
    if names and any(folders(deeper)):
        advice = f"; did you mean --data {deeper}?" if place == root else f"; move the folders of {deeper} to {place}"
    elif tables := [path for folder in (root, place, inner) for path in entries(folder) if _is_table(path)]:
        advice = f"; does {tables[0]} hold the labels? Sort the images into one folder per class, {place}/CLASS/"
    elif any(claims_image(path) for path in entries(inner)):
        advice = f"; sort the images into one folder per class, {place}/CLASS/"
    found = f"one, {names[0]}" if names else "none"
    return f"{place}: expected two or more class folders with images in them, found {found}{advice}"


def _unwrap(folder: Path) -> Path:
    """Follow folders with a single inner folder that is not a part."""
    seen = set()
    while (identity := folder.stat().st_ino) not in seen:
        seen.add(identity)
        inner = list(folders(folder))
        if len(inner) != 1 or _part(inner[0].name):
            break
        folder = inner[0]
    return folder


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in _LABEL_SUFFIXES and not is_folder(path)


def _refuse_flat(places: Mapping[Part, Path], names: Mapping[Part, Sequence[str]]) -> None:
    """Refuse validation or test images without class folders."""
    for part, place in places.items():
        count = 0 if names[part] else sum(claims_image(path) for path in entries(place))
        if count:
            use = "the held-out images" if part is Part.TEST else "validation"
            raise TaskError(
                f"{place}: expected class folders as in {places[Part.TRAIN]}, found {count:,} images without; "
                f"sort them into class folders, or move {place.name} elsewhere to use a share of the others for {use}"
            )


def _refuse_twins(place: Path, names: Iterable[str]) -> None:
    """Refuse class names that differ only in case."""
    first: dict[str, str] = {}
    for name in names:
        twin = first.setdefault(name.casefold(), name)
        if twin != name:
            raise TaskError(f"{place}: {twin} and {name} differ only in case; merge the two folders, or rename one")


def _refuse_part_names(places: Mapping[Part, Path], names: Mapping[Part, Sequence[str]]) -> None:
    """Refuse classes that may be parts: ``training_set`` and ``test_set``, or a class ``test``."""
    place, class_names = places[Part.TRAIN], names[Part.TRAIN]
    suspects = [name for name in class_names if _part(name)]
    if len(suspects) == 1 and len(places) > 1 and all(suspects[0] in found for found in names.values()):
        suspects = []  # a class named train, both in train/ and in test/
    if suspects := suspects or _find_similar(class_names):
        raise TaskError(
            f"{place}: expected class folders, found {_shorten(suspects)}, named like parts of the images; if they are "
            "parts, name them train and test and keep class folders in them; if they are classes, rename them"
        )


def _find_similar(names: Iterable[str]) -> list[str]:
    """Names that differ only in the name of a part, such as ``seg_train`` and ``seg_test``."""
    groups: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name in names:
        folded = name.casefold()
        for word in _PART_WORD.finditer(folded):
            rest = "".join(filter(str.isalpha, folded[: word.start()] + folded[word.end() :]))
            groups[rest].setdefault(word.group()[:2], name)
    return next((list(found.values()) for found in groups.values() if len(found) > 1), [])


def _refuse_masks(place: Path, names: Sequence[str]) -> None:
    words = {name: set(re.findall("[a-z]+", name.casefold())) for name in names}
    images = [name for name in names if words[name] & _IMAGE_WORDS]
    masks = [name for name in names if words[name] & _MASK_WORDS]
    suspects = [name for name in names if name in images or name in masks] if images and masks else []
    suspects = suspects if len(suspects) > 1 else [name for name in names if name.casefold() in _NO_CLASSES]
    if suspects:
        tables = [path for path in entries(place) if _is_table(path)]
        labels = f" and {tables[0].name} beside them" if tables else ""
        raise TaskError(
            f"{place}: expected one folder per class, found {_shorten(suspects)}{labels}, which look like inputs with "
            "their masks or labels; sort the images into class folders, or rename these if they are classes"
        )


def _refuse_other_classes(places: Mapping[Part, Path], names: Mapping[Part, Sequence[str]]) -> None:
    """Refuse classes without training images, and names that differ only in case."""
    train = places[Part.TRAIN]
    folded = {name.casefold(): name for name in names[Part.TRAIN]}
    for part, found in names.items():
        unknown = sorted(set(found) - set(names[Part.TRAIN]))
        for name in unknown:
            if twin := folded.get(name.casefold()):
                raise TaskError(f"{places[part] / name} and {train / twin} differ only in case; rename one of them")
        if unknown:
            raise TaskError(
                f"{places[part]} has classes that {train} lacks: {_shorten(unknown)}; "
                "name the folders alike, or remove them"
            )


def _holds_images(folder: Path) -> bool:
    """Whether a folder directly contains an image."""
    try:
        with os.scandir(folder) as found:
            return any(claims_image(Path(entry.name)) for entry in found)
    except OSError:
        return False


def _shorten(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
