"""The modules a pack ships, as it is read; tests/graphs/test_library.py runs them."""

from pathlib import Path

import pytest

from fairnad.errors import PackError
from prompts.loader import load_pack
from prompts.pack_modules import read_modules

MODULE = '''
import torch.nn as nn

HALF = 0.5


class Halve(nn.Module):
    """Halves every value.

    It has no weights.
    """

    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return HALF * x


class Marker:
    pass
'''


def test_modules_say_what_they_do_and_come_with_what_they_need(folder: Path) -> None:
    (folder / "modules.py").write_text(MODULE)
    (module,) = load_pack(str(folder)).modules
    assert (module.module_id, module.name, module.does) == ("pack/Halve", "Halve", "Halves every value.")
    assert module.source.startswith("import torch.nn as nn\n\n\nHALF = 0.5\n\n\nclass Halve(nn.Module):\n")
    assert "Marker" not in module.source


def test_a_pack_may_have_none(tmp_path: Path) -> None:
    assert read_modules(tmp_path / "modules.py") == ()


def test_the_vision_pack_ships_a_dozen() -> None:
    modules = load_pack("vision").modules
    assert len({module.name for module in modules}) == len(modules) == 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class Halve(:", "modules.py: not valid Python: invalid syntax"),
        (
            "class Halve:\n    def forward(self, x):\n        return x\n",
            "modules.py: class Halve: expected a docstring that says what it does, found none: add one",
        ),
    ],
)
def test_a_file_that_is_none_is_one_line(folder: Path, text: str, message: str) -> None:
    path = folder / "modules.py"
    path.write_text(text)
    with pytest.raises(PackError) as caught:
        load_pack(str(folder))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
