"""Which image formats are read, and which are known by name only."""

from __future__ import annotations

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")
"""What is read, as Pillow names it; formats without a signature are left out, and those that start another program."""

IMAGE_SUFFIXES = frozenset(
    ".avif .bmp .gif .jp2 .jpe .jpeg .jpg .pbm .pfm .pgm .png .pnm .ppm .tif .tiff .webp".split()  # noqa: SIM905
)
"""Endings that claim a file is an image; what a file is decides its content."""

FOREIGN_SUFFIXES = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIC"),
    **dict.fromkeys((".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"), "camera raw"),
    ".dcm": "DICOM",
    ".exr": "OpenEXR",
    ".jxl": "JPEG XL",
    ".psd": "Photoshop",
    ".svg": "SVG",
}
"""Endings of image formats that are not read, with the name of the format."""

CONVERT = "convert them to JPEG or PNG, HEIC for instance with pillow-heif or ImageMagick"
CONVERT_ONE = CONVERT.replace("them", "it")
"""What to do about files in a format that is not read."""

MAX_PIXELS = 100_000_000
"""Images with more are not decoded."""

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})


def is_foreign(suffix: str, start: bytes) -> bool:
    """Whether a file that Pillow did not open is an image of a format that is not read.

    Args:
        suffix: the ending of its name, in lower case.
        start: its first twelve bytes; phones also name HEIC files ``.jpg``.
    """
    is_media = start[4:8] == b"ftyp"
    return suffix in FOREIGN_SUFFIXES or (is_media and (start[8:12] in _HEIC_BRANDS or start[8:12] == b"avif"))


def foreign_format(suffix: str) -> str:
    """The name of the format of a file that :func:`is_foreign`."""
    return "AVIF" if suffix == ".avif" else FOREIGN_SUFFIXES.get(suffix, "HEIC")
