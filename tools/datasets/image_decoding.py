"""One image file as a square of bytes, whatever its format, colours and orientation.

Everything between a file and a network's input happens in :func:`square`: whoever predicts with a trained network
calls it too, or does the same.
"""

from __future__ import annotations

import functools
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fairnad.task import LeftOut
from tools.datasets.folder_listing import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from PIL import Image as Pillow

MAX_PIXELS = 100_000_000

_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")
"""What is read; formats without a signature are left out, and those that start another program."""

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


def read_sides(path: Path) -> tuple[int, int] | LeftOut:
    """Width and height as the file states them, or why it is no image to be used; nothing is decoded."""
    from PIL import Image

    try:
        with Image.open(path, formats=_formats()) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        return LeftOut.HUGE
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            return LeftOut.UNREADABLE
        return LeftOut.BROKEN if path.suffix.lower() in IMAGE_SUFFIXES else LeftOut.NO_IMAGE
    return (width, height) if width * height <= MAX_PIXELS else LeftOut.HUGE


def decode(path: Path, size: int) -> NDArray[np.uint8] | None:
    """The image as :func:`square` makes it, uint8 (3, size, size); ``None`` where the file is damaged."""
    from PIL import Image

    try:
        with Image.open(path, formats=_formats()) as image:
            return square(image, size)
    except _DAMAGED:
        return None


def square(image: Pillow.Image, size: int) -> NDArray[np.uint8]:
    """The largest centred square of an image in ``size`` pixels a side, uint8 (3, size, size).

    It is turned as its EXIF data say. Transparency is laid over white, 16 bits a pixel are scaled to 8, grey, palette
    and CMYK become RGB. JPEG files are decoded at a reduced scale, which stays at least twice what is wanted.
    """
    from PIL import Image

    image.draft("RGB", (2 * size, 2 * size))
    image.load()  # what comes behind the pixels, and a TIFF file's own turn, are seen only then
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    turn = _turn(image)
    image = _rgb(image.crop((left, top, left + side, top + side)))
    if turn is not None:
        image = image.transpose(turn)
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


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

    if image.mode == "I" or image.mode.startswith("I;"):
        shades = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray(((shades * 255 + 32767) // 65535).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


@functools.cache
def _formats() -> tuple[str, ...]:
    """The formats this installation of Pillow reads."""
    from PIL import Image

    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)
