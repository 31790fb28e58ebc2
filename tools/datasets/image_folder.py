"""A user's image folder as a task; images are divided into splits if there are no folders for them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fairnad.domain.task import LeftOut
from fairnad.errors import TaskError
from tools.datasets.folder_listing import Listing, list_folder
from tools.datasets.image_cache import ImageCache
from tools.datasets.image_decoding import CONVERT, DEFAULT_RANGES, Ranges, foreign_format
from tools.datasets.image_scan import Scan, Span
from tools.datasets.splits import MIN_SIDE, Indices, Part, Split, share_out
from tools.datasets.task_source import DataRequest, Source

MIN_CLASS_IMAGES = 3
"""One each for training, validation and the held-out images."""

LARGEST_DERIVED_SIZE = 64
"""Maximum side in pixels by default: the cost of a training grows with its square."""

_SIZE_STEP = 8
_ELONGATED = 2
_MODE_NAMES = {"F": "floating-point numbers", "I": "32-bit whole numbers"}


def image_folder(request: DataRequest) -> Source:
    """The images below ``request.data``, squares of one size, divided by :func:`tools.datasets.splits.share_out`.

    Raises:
        TaskError: the folder has another layout, a class has too few images, or images are too small.
        StorageError: the cache cannot be written.
        StoppingError: reading was stopped.
    """
    listing = list_folder(request.data)
    cache = ImageCache(request.cache, listing, request.stop)
    found = cache.scan()
    if not len(found.usable):
        convert = f"; {CONVERT}" if LeftOut.FOREIGN in found.left_out.values() else ""
        raise TaskError(
            f"{listing.root}: expected images in the class folders, found none among {_census(found)}{convert}"
        )
    if not request.image_size:
        _check_sides(listing.root, found.sides[found.usable])
    size = request.image_size or derived_size(found.sides[found.usable])
    ranges = _training_ranges(listing, found, request.split_seed)
    decoded = cache.decoded(found, size, ranges)
    left_out = dict.fromkeys(decoded.broken.tolist(), LeftOut.BROKEN) | found.left_out
    labels, shares = _share_out(listing, decoded.numbers, left_out, request.split_seed)

    def split(part: Part) -> Split:
        chosen = shares[part]
        return Split(decoded.images[decoded.rows[chosen]], labels[chosen])

    return Source(
        class_names=listing.class_names,
        train=split(Part.TRAIN),
        validation=split(Part.VALIDATION),
        load_held_out=lambda: split(Part.TEST),
        num_held_out=len(shares[Part.TEST]),
        place=listing.root,
        image_size=size,
        ranges=ranges,
        left_out=_names(listing, left_out),
        notices=(
            *_report_foreign(listing, left_out),
            *_report_elongated(found),
            *_report_scaled(found, ranges),
            *_report_flat(listing, decoded.flat),
            *_report_not_validated(listing, labels[shares[Part.VALIDATION]]),
        ),
    )


def derived_size(sides: NDArray[np.int64]) -> int:
    """The default side for images of these widths and heights, int64 (N, 2): the median shorter side, in steps of 8."""
    median = float(np.median(sides.min(axis=1)))
    return min(max(int(median / _SIZE_STEP + 0.5) * _SIZE_STEP, MIN_SIDE), LARGEST_DERIVED_SIZE)


def _check_sides(root: Path, sides: NDArray[np.int64]) -> None:
    """Refuse images that would have to be enlarged."""
    median = float(np.median(sides.min(axis=1)))
    if median < MIN_SIDE:
        raise TaskError(
            f"{root}: expected images of {MIN_SIDE} pixels a side or more, found {median:.3g} (the median of the "
            f"shorter sides); use larger ones, or enlarge these with --image-size {MIN_SIDE}"
        )


def _training_ranges(listing: Listing, found: Scan, split_seed: int) -> Ranges:
    """The range of each mode over all training images."""
    if not found.spans:
        return DEFAULT_RANGES
    _, shares = _share_out(listing, found.usable, found.left_out, split_seed)
    spans = [found.spans[number] for number in found.usable[shares[Part.TRAIN]].tolist() if number in found.spans]
    by_mode: defaultdict[str, list[Span]] = defaultdict(list)
    for span in spans:
        by_mode[span.mode].append(span)
    measured = {
        mode: (min(span.low for span in found), max(span.high for span in found)) for mode, found in by_mode.items()
    }
    return {**DEFAULT_RANGES, **measured}


def _share_out(
    listing: Listing, numbers: Indices, left_out: Mapping[int, LeftOut], split_seed: int
) -> tuple[Indices, Mapping[Part, Indices]]:
    """The labels of files, int64 (N,), and the positions of each part among them.

    Raises:
        TaskError: a class or a part has too few images.
    """
    files = [listing.files[number] for number in numbers]
    labels = np.array([file.label for file in files], np.int64)
    by_part = {part: np.flatnonzero([file.part is part for file in files]) for part in listing.parts}
    _check_classes(listing, labels, by_part, left_out)
    _check_parts(listing, by_part)
    return labels, share_out(labels, by_part, np.random.default_rng(split_seed))


def _check_classes(
    listing: Listing, labels: Indices, by_part: Mapping[Part, Indices], left_out: Mapping[int, LeftOut]
) -> None:
    """Refuse a class with too few images for all parts."""
    num_classes = len(listing.class_names)
    to_train_on = np.bincount(labels[by_part[Part.TRAIN]], minlength=num_classes)
    # Without a validation folder, all parts come from the training images.
    counted = np.bincount(labels, minlength=num_classes) if Part.VALIDATION in by_part else to_train_on
    for label, name in enumerate(listing.class_names):
        if counted[label] < MIN_CLASS_IMAGES or not to_train_on[label]:
            reasons = Counter(reason for number, reason in left_out.items() if listing.files[number].label == label)
            where = "" if counted is to_train_on else f", {to_train_on[label]} of them for training"
            raise TaskError(
                f"{listing.root}: class {name} has {_quantity(counted[label], 'usable image')}{where}"
                f"{_reasons(reasons)}; expected {MIN_CLASS_IMAGES} or more: add images or remove the folder"
            )


def _check_parts(listing: Listing, by_part: Mapping[Part, Indices]) -> None:
    """Refuse a validation or test folder with too few images."""
    for part, indices in by_part.items():
        needed = 2 if part is Part.VALIDATION and Part.TEST not in by_part else 1
        if len(indices) < needed:
            found = _quantity(len(indices), "usable image")
            raise TaskError(
                f"{listing.root}: the {part} folder has {found} in class folders, expected {needed} or more; "
                "add images or remove the folder"
            )


def _census(found: Scan) -> str:
    return f"{_quantity(len(found.left_out), 'file')}{_reasons(Counter(found.left_out.values()))}"


def _reasons(reasons: Counter[LeftOut]) -> str:
    return f" ({', '.join(f'{count} {reason}' for reason, count in reasons.most_common())})" if reasons else ""


def _quantity(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _names(listing: Listing, left_out: Mapping[int, LeftOut]) -> dict[LeftOut, list[str]]:
    names: defaultdict[LeftOut, list[str]] = defaultdict(list)
    for number in sorted(left_out):
        names[left_out[number]].append(listing.files[number].name)
    if listing.strays:
        names[LeftOut.STRAY] = list(listing.strays)
    return {reason: names[reason] for reason in LeftOut if reason in names}


def _report_elongated(found: Scan) -> list[str]:
    sides = found.sides[found.usable]
    count = int((sides.max(axis=1) > _ELONGATED * sides.min(axis=1)).sum())
    if not count:
        return []
    return [
        f"{count:,} of {len(sides):,} images are over {_ELONGATED} times as long as wide: only their middle is used."
    ]


def _report_foreign(listing: Listing, left_out: Mapping[int, LeftOut]) -> list[str]:
    """The notice on unsupported formats."""
    names = [listing.files[number].name for number, reason in left_out.items() if reason is LeftOut.FOREIGN]
    counts = Counter(foreign_format(Path(name).suffix.lower()) for name in names)
    if not counts:
        return []
    formats = ", ".join(f"{name} ({_quantity(count, 'file')})" for name, count in sorted(counts.items()))
    return [f"Unsupported formats: {formats}; {CONVERT}."]


def _report_scaled(found: Scan, ranges: Ranges) -> list[str]:
    """The notice on values that are scaled by the range of the training images."""
    counts = Counter(span.mode for span in found.spans.values())
    return [
        f"{_quantity(count, 'image')} of {_MODE_NAMES[mode]}: the range of the training images, "
        f"{ranges[mode][0]:.6g} to {ranges[mode][1]:.6g}, is mapped to 0 to 255."
        for mode, count in sorted(counts.items())
    ]


def _report_flat(listing: Listing, flat: Indices) -> list[str]:
    if not len(flat):
        return []
    name = listing.files[int(flat[0])].name + (", …" if len(flat) > 1 else "")
    return [f"{_quantity(len(flat), 'image')} of a single colour ({name}): nothing can be learned from them."]


def _report_not_validated(listing: Listing, validated: Indices) -> list[str]:
    missing = sorted(set(range(len(listing.class_names))) - set(validated.tolist()))
    names = ", ".join(listing.class_names[label] for label in missing)
    return [f"Classes without a validation image: {names}."] if missing else []
