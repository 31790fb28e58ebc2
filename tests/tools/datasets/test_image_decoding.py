from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from fairnad.domain.task import LeftOut
from tools.datasets.image_decoding import decode, measure, read_header, square

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")

CORNERS = np.array([[[250, 20, 20], [20, 250, 20]], [[20, 20, 250], [240, 240, 20]]], np.uint8)
"""Red, green, blue and yellow."""


def corners(width: int = 32, height: int = 32) -> Image.Image:
    """Four colours, one a quadrant."""
    return Image.fromarray(CORNERS).resize((width, height), Image.Resampling.NEAREST)


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def quadrants(pixels: np.ndarray) -> np.ndarray:
    """The colour in the middle of each quadrant, (2, 2, 3)."""
    quarter = pixels.shape[-1] // 4
    middles = [quarter, 3 * quarter]
    return pixels.transpose(1, 2, 0)[np.ix_(middles, middles)]


def assert_corners(pixels: np.ndarray, expected: np.ndarray = CORNERS, tolerance: int = 8) -> None:
    assert pixels.shape == (3, 16, 16)
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(quadrants(pixels).astype(int), expected.astype(int), atol=tolerance)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("image.png", {}),
        ("image.bmp", {}),
        ("image.gif", {}),
        ("image.ppm", {}),
        ("image.tif", {}),
        ("image.jpg", {"quality": 95}),
        ("image.webp", {"lossless": True}),
        ("image.avif", {"quality": 95}),
        ("image.without.an.ending", {"format": "PNG"}),
    ],
)
def test_every_usual_format_is_read(tmp_path: Path, name: str, options: dict[str, object]) -> None:
    path = saved(tmp_path / name, corners(), **options)
    assert read_header(path) == (32, 32, "")
    pixels = decode(path, 16)
    assert pixels is not None
    assert_corners(pixels)


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK", "YCbCr", "RGBX", "HSV"])
def test_every_kind_of_colour_becomes_rgb(mode: str) -> None:
    assert_corners(square(corners().convert(mode), 16), tolerance=12)


def test_cmyk_jpeg_files_are_read(tmp_path: Path) -> None:
    pixels = decode(saved(tmp_path / "image.jpg", corners().convert("CMYK"), quality=95), 16)
    assert pixels is not None
    assert_corners(pixels, tolerance=20)


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_grey_is_the_same_in_every_channel(mode: str) -> None:
    pixels = square(corners().convert("L").convert(mode), 16)
    np.testing.assert_array_equal(pixels[0], pixels[1])
    np.testing.assert_array_equal(pixels[0], pixels[2])
    assert len(np.unique(pixels)) > 1


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, name: str) -> None:
    shades = np.repeat(np.linspace(0, 65535, 16).astype(np.uint16)[None], 16, axis=0)
    pixels = decode(saved(tmp_path / name, Image.fromarray(shades)), 16)
    assert pixels is not None
    np.testing.assert_allclose(pixels[0, 0].astype(float), np.linspace(0, 255, 16), atol=1)


@pytest.mark.parametrize(("dtype", "mode"), [(np.float32, "F"), (np.float64, "F"), (np.int32, "I"), (np.int16, "I")])
def test_other_numbers_are_scaled_by_the_range_that_is_given(tmp_path: Path, dtype: type[np.number], mode: str) -> None:
    values = np.repeat(np.linspace(-4, 56, 16).astype(dtype)[None], 16, axis=0)
    path = saved(tmp_path / "deep.tif", Image.fromarray(values))
    assert read_header(path) == (16, 16, mode)
    assert measure(path) == (-4, 56)
    pixels = decode(path, 16, {mode: (0, 40)})
    assert pixels is not None
    expected = (values[0].astype(float) / 40).clip(0, 1) * 255
    np.testing.assert_allclose(pixels[0, 0].astype(float), expected, atol=0.5)
    np.testing.assert_array_equal(pixels[0], pixels[2])


def test_sixteen_bits_in_a_pgm_file_are_no_more(tmp_path: Path) -> None:
    path = saved(tmp_path / "deep.pgm", Image.fromarray(np.full((8, 8), 65535, np.uint16)))
    assert read_header(path) == (8, 8, "")
    pixels = decode(path, 8, {"I;16": (0, 65535), "I": (0, 1000)})
    assert pixels is not None
    assert (pixels == 255).all()


def test_what_is_no_number_is_as_the_lowest_value(tmp_path: Path) -> None:
    values = np.full((8, 8), 0.5, np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    path = saved(tmp_path / "deep.tif", Image.fromarray(values))
    assert measure(path) == (0.5, 0.5)
    pixels = decode(path, 8, {"F": (0, 1)})
    assert pixels is not None
    assert pixels[0, 0, :4].tolist() == [0, 255, 0, 128]
    assert measure(saved(tmp_path / "none.tif", Image.fromarray(np.full((8, 8), np.nan, np.float32)))) is None


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (16, 16), (200, 0, 0, 0))
    half = Image.new("RGBA", (16, 16), (0, 0, 0, 128))
    palette = Image.new("P", (16, 16), 0)
    paths = [
        saved(tmp_path / "clear.png", clear),
        saved(tmp_path / "palette.png", palette, transparency=0),
        saved(tmp_path / "half.png", half),
    ]
    assert [int(decode(path, 8).mean()) for path in paths] == [255, 255, 127]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["turned.jpg", "turned.png", "turned.tif", "turned.webp"])
def test_images_are_turned_as_their_exif_data_say(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if name.endswith("webp") else {"quality": 95} if name.endswith("jpg") else {}
    image = corners(48, 32)
    path = saved(tmp_path / name, image, exif=exif, **lossless)
    image.getexif()[0x0112] = orientation
    expected = quadrants(np.asarray(ImageOps.exif_transpose(image).resize((16, 16))).transpose(2, 0, 1))
    pixels = decode(path, 16)
    assert pixels is not None
    assert_corners(pixels, expected)
    assert orientation == 1 or not np.array_equal(expected, CORNERS)


def test_a_damaged_exif_block_does_not_cost_the_image(tmp_path: Path) -> None:
    path = saved(tmp_path / "image.jpg", corners(), quality=95, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff garbage")
    pixels = decode(path, 16)
    assert pixels is not None
    assert_corners(pixels)


@pytest.mark.parametrize(("width", "height"), [(96, 32), (32, 96), (1, 3000), (33, 32)])
def test_the_middle_square_is_used(width: int, height: int) -> None:
    side = min(width, height)
    image = Image.new("RGB", (width, height), "black")
    image.paste((255, 255, 255), ((width - side) // 2, (height - side) // 2, (width + side) // 2, (height + side) // 2))
    assert square(image, 8).min() == 255


@pytest.mark.parametrize(("side", "size"), [(8, 32), (500, 8), (1, 16)])
def test_images_of_any_side_are_resized(side: int, size: int) -> None:
    pixels = square(Image.new("RGB", (side, side), (10, 20, 30)), size)
    assert [set(channel.ravel()) for channel in pixels] == [{10}, {20}, {30}]
    assert pixels.shape == (3, size, size)


def test_a_large_jpeg_decoded_at_a_reduced_scale_looks_the_same(tmp_path: Path) -> None:
    gradient = np.linspace(0, 255, 1024).astype(np.uint8)
    image = Image.fromarray(np.stack([np.repeat(gradient[None], 1024, axis=0)] * 3, axis=2))
    path = saved(tmp_path / "large.jpg", image, quality=95)
    reduced = decode(path, 16)
    assert reduced is not None
    np.testing.assert_allclose(reduced.astype(int), square(image, 16).astype(int), atol=3)


def png_that_says(width: int, height: int) -> bytes:
    """A PNG file of a few bytes that claims any size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


PNG = io.BytesIO()
corners().save(PNG, "PNG")
WHOLE = PNG.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("notes.txt", b"no image at all", LeftOut.NO_IMAGE),
        ("archive", b"PK\x03\x04" + bytes(50), LeftOut.NO_IMAGE),
        ("image.png", b"no image at all", LeftOut.BROKEN),
        ("image.JPG", b"\xff\xd8\xff", LeftOut.BROKEN),
        ("phone.heic", b"\0\0\0\x18ftypheic" + bytes(50), LeftOut.FOREIGN),
        ("phone.jpg", b"\0\0\0\x18ftypmif1" + bytes(50), LeftOut.FOREIGN),
        ("drawing.svg", b"<svg/>", LeftOut.FOREIGN),
        ("script.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", LeftOut.BROKEN),
        ("bomb.png", png_that_says(60_000, 60_000), LeftOut.HUGE),
        ("bomb.png", png_that_says(10_001, 10_000), LeftOut.HUGE),
    ],
)
def test_what_is_no_image_is_told_without_decoding(tmp_path: Path, name: str, content: bytes, reason: LeftOut) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert read_header(path) is reason


def test_a_hundred_megapixels_are_not_too_many(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(png_that_says(10_000, 10_000))
    assert read_header(path) == (10_000, 10_000, "")


def test_a_file_that_is_gone_is_not_readable(tmp_path: Path) -> None:
    assert read_header(tmp_path / "gone.png") is LeftOut.UNREADABLE


@pytest.mark.parametrize("length", [12, 30, 50, 60])
def test_every_cut_of_an_image_is_told(tmp_path: Path, length: int) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(WHOLE[:length])
    assert read_header(path) is LeftOut.BROKEN or decode(path, 8) is None


def test_overwritten_bytes_never_raise(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for format_name in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        file = io.BytesIO()
        corners().save(file, format_name)
        for number in range(60):
            content = np.frombuffer(file.getvalue(), np.uint8).copy()
            content[generator.integers(len(content), size=12)] = generator.integers(256, size=12)
            path = tmp_path / f"{number}.{format_name}"
            path.write_bytes(content.tobytes())
            header = read_header(path)
            pixels = decode(path, 8) if isinstance(header, tuple) else None
            assert pixels is None or pixels.shape == (3, 8, 8)
