"""Converts image files of any format, colours and orientation to squares of bytes.

:func:`square` does all preprocessing between a file and a network's input; predictions must do the same.
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

if TYPE_CHECKING:
    from PIL import Image as Pillow

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")
"""Supported formats, by Pillow's names; without formats that lack a signature or start another program."""

IMAGE_SUFFIXES = frozenset(
    ".avif .bmp .gif .jp2 .jpe .jpeg .jpg .pbm .pfm .pgm .png .pnm .ppm .tif .tiff .webp".split()  # noqa: SIM905
)
"""Suffixes of image files; the content decides."""

FOREIGN_SUFFIXES = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIC"),
    **dict.fromkeys((".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"), "camera raw"),
    ".dcm": "DICOM",
    ".exr": "OpenEXR",
    ".jxl": "JPEG XL",
    ".psd": "Photoshop",
    ".svg": "SVG",
}
"""Suffixes of unsupported image formats, with the name of the format."""

CONVERT = "convert them to JPEG or PNG, HEIC for instance with pillow-heif or ImageMagick"
CONVERT_ONE = CONVERT.replace("them", "it")
"""Advice for unsupported formats."""

MAX_PIXELS = 100_000_000
"""Larger images are not decoded."""

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})

Ranges = Mapping[str, tuple[float, float]]
"""The values that become 0 and 255, for each Pillow mode of more than 8 bits."""

DEFAULT_RANGES: Ranges = {"I;16": (0, 65535), "I": (0, 65535), "F": (0, 1)}
"""The range of 16 bits is fixed. Those of ``I`` (32-bit integers) and ``F`` (floating point) come from the training
images; these values apply if no training image has that mode."""

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
"""Exceptions that Pillow raises for damaged files; they are not documented."""


class Header(NamedTuple):
    """Width, height, and the mode if it has no fixed value range."""

    width: int
    height: int
    unscaled: str


def read_header(path: Path) -> Header | LeftOut:
    """The header of a file, or why it is not usable; pixels are not decoded."""
    from PIL import Image

    try:
        with Image.open(path, formats=_formats()) as image:
            mode = _deep_mode(image)
            header = Header(*image.size, mode if mode != "I;16" else "")
    except Image.DecompressionBombError:
        return LeftOut.HUGE
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            return LeftOut.UNREADABLE
        return _why_not_opened(path)
    return header if header.width * header.height <= MAX_PIXELS else LeftOut.HUGE


def _why_not_opened(path: Path) -> LeftOut:
    suffix = path.suffix.lower()
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return LeftOut.UNREADABLE
    if is_foreign(suffix, start):
        return LeftOut.FOREIGN
    return LeftOut.BROKEN if suffix in IMAGE_SUFFIXES else LeftOut.NO_IMAGE


def is_foreign(suffix: str, start: bytes) -> bool:
    """Whether a file that Pillow did not open is an image of an unsupported format.

    Args:
        suffix: in lower case.
        start: the first twelve bytes; some phones name HEIC files ``.jpg``.
    """
    is_media = start[4:8] == b"ftyp"
    return suffix in FOREIGN_SUFFIXES or (is_media and (start[8:12] in _HEIC_BRANDS or start[8:12] == b"avif"))


def foreign_format(suffix: str) -> str:
    """The name of the format of a foreign file."""
    return "AVIF" if suffix == ".avif" else FOREIGN_SUFFIXES.get(suffix, "HEIC")


def measure(path: Path) -> tuple[float, float] | None:
    """The smallest and the largest value in the centred square; ``None`` if the file is damaged."""
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
    """The image by :func:`square`, uint8 (3, size, size); ``None`` if the file is damaged."""
    from PIL import Image

    try:
        with Image.open(path, formats=_formats()) as image:
            return square(image, size, ranges)
    except _DAMAGED:
        return None


def square(image: Pillow.Image, size: int, ranges: Ranges = DEFAULT_RANGES) -> NDArray[np.uint8]:
    """The largest centred square of an image, resized to ``size`` pixels a side, uint8 (3, size, size).

    Applies the EXIF orientation, a white background for transparency, and the range of the mode for more than 8 bits,
    and converts to RGB. JPEG files are decoded at a reduced scale of at least twice the size.
    """
    from PIL import Image

    image.draft("RGB", (2 * size, 2 * size))
    image.load()  # metadata behind the pixels and the orientation of TIFF files are known only now
    turn, mode = _turn(image), _deep_mode(image)
    image = _middle(image)
    image = _rgb(_scale(image, *ranges[mode]) if mode else image)
    if turn is not None:
        image = image.transpose(turn)
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _middle(image: Pillow.Image) -> Pillow.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _deep_mode(image: Pillow.Image) -> str:
    """The key of an image's range, empty for 8 bits. PNG and PPM have at most 16, whatever the mode."""
    if image.mode.startswith("I;") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return "I;16"
    return image.mode if image.mode in ("I", "F") else ""


def _scale(image: Pillow.Image, low: float, high: float) -> Pillow.Image:
    """The image with 8 bits; NaN becomes the lowest value, and values out of range are clipped."""
    from PIL import Image

    values = np.nan_to_num(np.asarray(image).astype(np.float64), nan=low, posinf=high, neginf=low)
    shares = (values - low) / ((high - low) or 1.0)
    return Image.fromarray(np.rint(shares.clip(0, 1) * 255).astype(np.uint8))


def _turn(image: Pillow.Image) -> Pillow.Transpose | None:
    from PIL.Image import Transpose

    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except _DAMAGED:
        return None  # the pixels may still be whole
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
