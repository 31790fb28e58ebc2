"""best.py: whatever a network's source is called inside, the command line below it finds its own names."""

from __future__ import annotations

import ast
import json

import numpy as np
import pytest
from PIL import Image

from graphs.results.model_card import plain_text
from graphs.results.program import make_program, without_main_guard
from tools.datasets.image_decoding import decode

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
        *("read_labels", "load_network", "read_image", "to_rgb_", "classify_", "main__"),
    ]
    assert text.endswith("sys.exit(main__())\n")
    assert "image = to_rgb_(image.crop(" in text
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


LABELS = {"image_size": 20, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "classes": ["a", "b"]}


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
