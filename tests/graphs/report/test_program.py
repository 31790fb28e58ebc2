"""best.py: whatever a network's source is called inside, the command line below it finds its own names."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from graphs.report.model_card import plain_text
from graphs.report.program import make_program, without_main_guard
from tools.datasets.image_decoding import DEFAULT_RANGES, decode

SOURCE = '''"""A network."""
from __future__ import annotations

import torch.nn as nn


class Network(nn.Module):
    pass
'''


def program(source):
    text = make_program(source, candidate_id="g00-base-r1-s00-d0", run_name="first")
    compile(text, "best.py", "exec")
    return text


def functions(text):
    return [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]


def test_the_source_stands_as_it_was_found_above_the_command_line():
    text = program(SOURCE)
    assert text.startswith("# g00-base-r1-s00-d0 of the FairNAD run first: ")
    assert SOURCE.strip() in text
    assert text.endswith('if __name__ == "__main__":\n    sys.exit(main())\n')
    assert text.count("__name__") == 1


def test_names_the_source_uses_are_left_to_it():
    taken = "def main():\n    return FOLDER\n\n\nFOLDER = classify = 1\n\n\ndef to_rgb():\n    return main_()\n"
    text = program(SOURCE + taken)
    assert taken.strip() in text
    assert functions(text) == [
        *("main", "to_rgb"),
        *("read_labels", "load_network", "find_images", "read_image", "deep_mode", "to_bytes"),
        *("read_turn", "to_rgb_", "classify_", "explain", "say", "main__"),
    ]
    assert text.endswith("sys.exit(main__())\n")
    assert "image = to_rgb_(to_bytes(image, " in text
    assert 'FOLDER_ / "labels.json"' in text


@pytest.mark.parametrize(
    "guard",
    [
        'if __name__ == "__main__":\n    main()\n',
        "if '__main__' == __name__:\n    main()\n    print(1)\n",
        'if __name__ == "__main__": main()',
    ],
)
def test_a_source_that_is_a_program_of_its_own_no_longer_is(guard):
    assert without_main_guard(f"a = 1\n{guard}") == "a = 1\n"
    assert without_main_guard("a = 1\nif a:\n    b = 2\n") == "a = 1\nif a:\n    b = 2\n"


def test_what_a_language_model_wrote_is_no_markdown():
    assert plain_text("# [a](javascript:b)\n<b>c</b> | `d`") == r"\# \[a\](javascript:b) \<b\>c\</b\> \| \`d\`"


RANGES = {**DEFAULT_RANGES, "F": (-3, 90.5), "I": (-40_000, 2_000_000)}
LABELS = {
    "image_size": 20,
    "mean": [0.0, 0.0, 0.0],
    "std": [1.0, 1.0, 1.0],
    "classes": ["a", "b"],
    "ranges": {mode: list(values) for mode, values in RANGES.items()},
}


@pytest.fixture(scope="module")
def read_image(tmp_path_factory):
    """What best.py makes of an image file, uint8 (3, 20, 20)."""
    folder = tmp_path_factory.mktemp("result")
    (folder / "labels.json").write_text(json.dumps(LABELS))
    text = program(SOURCE).replace('if __name__ == "__main__"', "if False")
    names = {"__file__": str(folder / "best.py")}
    exec(compile(text, "best.py", "exec"), names)

    def read(path):
        image = names["read_image"](path, names["read_labels"]())
        assert image.shape == (1, 3, 20, 20)
        return (image[0] * 255).round().byte().numpy()

    return read


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff"])
def test_a_turned_photograph_is_read_as_for_the_training(read_image, tmp_path, suffix, orientation):
    pixels = np.random.default_rng(0).integers(256, size=(31, 46, 3), dtype=np.uint8)
    exif, path = Image.Exif(), tmp_path / f"image.{suffix}"
    exif[0x0112] = orientation
    Image.fromarray(pixels).resize((151, 98)).save(path, exif=exif)
    np.testing.assert_array_equal(read_image(path), decode(path, 20))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
def test_an_image_of_any_kind_is_read_as_for_the_training(read_image, tmp_path, mode):
    generator, path = np.random.default_rng(1), tmp_path / ("image.tiff" if mode == "CMYK" else "image.png")
    if mode == "I;16":
        image = Image.fromarray(generator.integers(2**16, size=(33, 24), dtype=np.uint16))
    else:
        image = Image.fromarray(generator.integers(256, size=(33, 24, 4), dtype=np.uint8))
        image = (image if mode in ("LA", "RGBA") else image.convert("RGB")).convert(mode)
    image.save(path)
    np.testing.assert_array_equal(read_image(path), decode(path, 20))


@pytest.mark.parametrize("suffix", ["tif", "pgm"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int16, np.uint16])
def test_more_than_eight_bits_are_scaled_as_for_the_training(read_image, tmp_path, dtype, suffix):
    values, path = np.random.default_rng(3).uniform(-9, 99, size=(33, 24)), tmp_path / f"image.{suffix}"
    if np.issubdtype(dtype, np.integer):
        values = np.clip(values * 25_000, np.iinfo(dtype).min, np.iinfo(dtype).max)
    values = values.astype(dtype)
    if np.issubdtype(dtype, np.floating):
        values[3, :3] = np.nan, np.inf, -np.inf
    Image.fromarray(values if suffix == "tif" else values.clip(0, 65535)).save(path)
    pixels = read_image(path)
    np.testing.assert_array_equal(pixels, decode(path, 20, RANGES))
    assert len(np.unique(pixels)) > 5 or suffix == "pgm"


def test_an_image_whose_exif_data_are_damaged_is_read_as_for_the_training(read_image, tmp_path):
    path = tmp_path / "image.webp"
    pixels = np.random.default_rng(2).integers(256, size=(24, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, exif=b"XX no EXIF data")
    np.testing.assert_array_equal(read_image(path), decode(path, 20))


TRAINED = """
import torch


class Network(torch.nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = torch.nn.Linear(3, num_classes)

    def forward(self, images):
        return self.head(images.mean(dim=(2, 3)))
"""


@pytest.fixture
def classify(tmp_path):
    """Runs best.py, on a result folder with a network in it, from another folder and with this output encoding."""
    folder = tmp_path / "result"
    folder.mkdir()
    (folder / "best.py").write_text(program(TRAINED))
    (folder / "labels.json").write_text(json.dumps(LABELS | {"classes": ["a", "玫瑰"], "seed": 0}), encoding="utf-8")
    weights = {"head.weight": np.zeros((2, 3), np.float32), "head.bias": np.array([0, 9], np.float32)}
    safetensors.numpy.save_file(weights, folder / "best.safetensors")

    def run(*names, encoding="utf-8"):
        command = [sys.executable, folder / "best.py", *names]
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)

    return run


def test_names_that_cannot_be_printed_are_escaped(classify, tmp_path):
    name = b"caf\xe9.png"
    Image.new("RGB", (20, 20)).save(tmp_path / "image.png")
    (tmp_path / "image.png").rename(tmp_path / os.fsdecode(name))
    done = classify(name, "nowhere.png", encoding="ascii")
    assert done.returncode == 1
    assert done.stdout == rb"caf\udce9.png: \u73ab\u7470 1.000, a 0.000" + b"\n"
    assert done.stderr == b"error: nowhere.png: there is no such file or folder\n"


def test_what_cannot_be_read_says_why_and_the_next_images_are_classified(classify, tmp_path):
    Image.new("RGB", (20, 20)).save(tmp_path / "image.png")
    (tmp_path / "README.md").write_text("# Notes")
    done = classify("missing/a.png", "README.md", "image.png")
    assert done.returncode == 1
    assert done.stdout.decode() == "image.png: 玫瑰 1.000, a 0.000\n"
    assert done.stderr.decode().splitlines() == [
        "error: missing/a.png: there is no such file or folder",
        "error: README.md: not an image that Pillow can read",
    ]


def test_a_program_that_was_moved_without_its_weights_says_so_in_one_line(classify, tmp_path):
    (tmp_path / "result" / "best.safetensors").unlink()
    done = classify("image.png")
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("error: labels.json and best.safetensors must lie beside best.py: ")


def test_a_folder_stands_for_the_images_in_it(classify, tmp_path):
    for name in ("b.PNG", "a.jpg", "deeper/c.webp", ".hidden/d.png"):
        path = tmp_path / "new" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 24)).save(path)
    (tmp_path / "new" / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    done = classify("new", "empty")
    assert done.returncode == 1
    names = [line.partition(":")[0] for line in done.stdout.decode().splitlines()]
    assert names == ["new/a.jpg", "new/b.PNG", "new/deeper/c.webp"]
    assert done.stderr.decode() == "error: empty: expected images in this folder, found none\n"


def test_what_a_search_leaves_out_is_refused_with_what_to_do(classify, tmp_path):
    folder = tmp_path / "new"
    folder.mkdir()
    Image.new("1", (10_001, 10_000)).save(folder / "huge.png")
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
    (folder / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    done = classify("new")
    assert (done.returncode, done.stdout) == (1, b"")
    huge, *others = done.stderr.decode().splitlines()
    assert huge == "error: new/huge.png: expected at most 100,000,000 pixels, found 10,001 times 10,000"
    assert others == [
        "error: new/phone.heic: not an image that Pillow can read; convert it to JPEG or PNG, HEIC for instance with "
        "pillow-heif or ImageMagick",
        "error: new/script.png: not an image that Pillow can read",
    ]


def test_a_reader_that_leaves_ends_it_without_a_traceback(classify, tmp_path):
    Image.new("RGB", (30, 24)).save(tmp_path / "a.png")
    program_path = tmp_path / "result" / "best.py"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, program_path, "a.png"], cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_program_needs_no_compiler_for_what_the_lab_ran_without():
    assert "torch.compile" not in program(SOURCE + "\n\n@torch.compile\ndef f(x):\n    return x\n")
