"""One image file as a square of bytes, whatever its format, colours and orientation.

Everything between a file and a network's input happens in :func:`square`: whoever predicts with a trained network
calls it too, or does the same.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fairnad.domain.task import LeftOut
from tools.datasets.image_formats import FORMATS, IMAGE_SUFFIXES, MAX_PIXELS, is_foreign

if TYPE_CHECKING:
    from PIL import Image as Pillow

Ranges = Mapping[str, tuple[float, float]]
"""For each of Pillow's modes of more than 8 bits the values that become 0 and 255."""

DEFAULT_RANGES: Ranges = {"I;16": (0, 65535), "I": (0, 65535), "F": (0, 1)}
"""The range of 16 bits is fixed. For ``I``, whole numbers of 32 bits, and ``F``, floating point, the training images
decide; these ranges apply where no training image has that mode."""

_ORIENTATION_TAG = 0x0112

_DAMAGED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What Pillow's readers raise at a damaged file: its documentation promises no single exception."""


class Header(NamedTuple):
    """What a file says of its image: width and height, and the mode if its values have no range of their own."""

    width: int
    height: int
    unscaled: str


def read_header(path: Path) -> Header | LeftOut:
    """What the file states, or why it is no image to be used; nothing is decoded."""
    from PIL import Image

    try:
        with Image.open(path, formats=_formats()) as image:
            header = Header(*image.size, _unscaled(image))
    except Image.DecompressionBombError:
        return LeftOut.HUGE
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            return LeftOut.UNREADABLE
        return _not_opened(path)
    return header if header.width * header.height <= MAX_PIXELS else LeftOut.HUGE


def _not_opened(path: Path) -> LeftOut:
    suffix = path.suffix.lower()
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return LeftOut.UNREADABLE
    if is_foreign(suffix, start):
        return LeftOut.FOREIGN
    return LeftOut.BROKEN if suffix in IMAGE_SUFFIXES else LeftOut.NO_IMAGE


def measure(path: Path) -> tuple[float, float] | None:
    """The smallest and the largest value in an image's centred square; ``None`` where the file is damaged."""
    from PIL import Image

    try:
        with Image.open(path, formats=_formats()) as image:
            image.load()
            values = np.asarray(_middle(image))
    except _DAMAGED:
        return None
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else None


def decode(path: Path, size: int, ranges: Ranges = DEFAULT_RANGES) -> NDArray[np.uint8] | None:
    """The image as :func:`square` makes it, uint8 (3, size, size); ``None`` where the file is damaged."""
    from PIL import Image

    try:
        with Image.open(path, formats=_formats()) as image:
            return square(image, size, ranges)
    except _DAMAGED:
        return None


def square(image: Pillow.Image, size: int, ranges: Ranges = DEFAULT_RANGES) -> NDArray[np.uint8]:
    """The largest centred square of an image in ``size`` pixels a side, uint8 (3, size, size).

    It is turned as its EXIF data say. Transparency is laid over white, values of more than 8 bits are scaled to 8 by
    the range of their kind, grey, palette and CMYK become RGB. JPEG files are decoded at a reduced scale, which stays
    at least twice what is wanted.
    """
    from PIL import Image

    image.draft("RGB", (2 * size, 2 * size))
    image.load()  # what comes behind the pixels, and a TIFF file's own turn, are seen only then
    turn, mode = _turn(image), _deep_mode(image)
    image = _middle(image)
    image = _rgb(_scaled(image, *ranges[mode]) if mode else image)
    if turn is not None:
        image = image.transpose(turn)
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _middle(image: Pillow.Image) -> Pillow.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _deep_mode(image: Pillow.Image) -> str:
    """The key of an image's range, empty where it has 8 bits. PNG and PPM have no more than 16, whatever the mode."""
    if image.mode.startswith("I;") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return "I;16"
    return image.mode if image.mode in ("I", "F") else ""


def _unscaled(image: Pillow.Image) -> str:
    mode = _deep_mode(image)
    return mode if mode != "I;16" else ""


def _scaled(image: Pillow.Image, low: float, high: float) -> Pillow.Image:
    """The image with 8 bits; what is no number is as the lowest value, what is out of range as the nearest in it."""
    from PIL import Image

    values = np.nan_to_num(np.asarray(image).astype(np.float64), nan=low, posinf=high, neginf=low)
    shares = (values - low) / ((high - low) or 1.0)
    return Image.fromarray(np.rint(shares.clip(0, 1) * 255).astype(np.uint8))


def _turn(image: Pillow.Image) -> Pillow.Transpose | None:
    from PIL.Image import Transpose

    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except _DAMAGED:
        return None  # the pixels may be whole nevertheless
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return turns.get(orientation) if isinstance(orientation, int) else None


def _rgb(image: Pillow.Image) -> Pillow.Image:
    from PIL import Image

    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


@functools.cache
def _formats() -> tuple[str, ...]:
    """The formats this installation of Pillow reads."""
    from PIL import Image

    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)
