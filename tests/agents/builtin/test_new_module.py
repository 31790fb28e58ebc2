"""Modules somebody else has written, read and put at every spot of every kind of network."""

import numpy as np
import pytest
import torch

from agents.builtin.module_spots import module_spots
from agents.builtin.new_module import ModuleError, read_module
from agents.builtin.source_editor import SourceEditor
from tests.agents.builtin.networks import SOURCES, build, report, run

GATE = """
class Gate(nn.Module):
    def __init__(self, channels, reduction=4):
        super().__init__()
        self.fc = nn.Linear(channels, channels)

    def forward(self, x):
        return x * torch.sigmoid(self.fc(x.mean((2, 3))))[:, :, None, None]
"""
HELPED = (
    "import math\nSCALE = 2\n"
    + GATE
    + "\n\ndef twice(x):\n    return SCALE * x\n\n\nclass Outer(nn.Module):\n    def __init__(self, dim):\n"
    "        super().__init__()\n        self.gate = Gate(dim)\n\n    def forward(self, x):\n"
    "        return twice(self.gate(x)) * math.pi\n\n\nmodule = Outer(8)\nprint(module(torch.ones(1, 8, 2, 2)))\n"
)


def edited(source: str) -> SourceEditor:
    return SourceEditor(source, np.random.default_rng(0), report(source))


@pytest.mark.parametrize("name", SOURCES)
def test_a_module_runs_at_every_spot_and_sees_the_maps_that_are_said(name: str) -> None:
    source = SOURCES[name]
    spots = module_spots(edited(source))
    assert len({spot.words for spot in spots}) == len(spots) >= 5
    for spot in spots:
        editor = edited(source)
        module = read_module(GATE, editor.reading.sizes.classes)
        spot.put(editor, module.attribute, module.build)
        module.add_to(editor)
        run(editor.source)
        seen = {shape[1:] for kind, _, shape in report(editor.source).blocks if kind == "Gate"}
        assert seen == set(spot.shapes)


def test_a_network_of_one_layer_has_no_spot() -> None:
    source = (
        "import torch.nn as nn\nclass Network(nn.Module):\n    def __init__(self, num_classes=10):\n"
        "        super().__init__()\n        self.head = nn.Linear(3, num_classes)\n"
        "    def forward(self, x):\n        return self.head(x.mean((2, 3)))\n"
    )
    assert module_spots(SourceEditor(source, np.random.default_rng(0))) == []


def test_helpers_come_along_and_examples_of_use_do_not() -> None:
    module = read_module(HELPED, ())
    assert (module.name, module.build("width")) == ("Outer", "Outer(width)")
    source = module.alone([(4, 8, 8), (6, 3, 5)])
    assert "print" not in source
    assert build(source)(torch.randn(2, 3, 16, 16)).shape == (2, 10)


def test_a_name_the_network_has_already_is_changed_everywhere() -> None:
    module = read_module(GATE, {"Gate"})
    assert module.name == "Gate2"
    assert "class Gate2(nn.Module)" in module.alone([(4, 8, 8)])


def test_classes_of_the_network_that_are_repeated_are_left_out() -> None:
    module = read_module(GATE + GATE.replace("Gate", "BaseBlock"), {"BaseBlock", "Network"})
    assert module.name == "Gate"
    assert "BaseBlock" not in module.alone([(4, 8, 8)])


def test_a_module_of_two_widths_gets_both_and_one_of_none_none() -> None:
    assert (
        read_module(GATE.replace("channels, reduction", "in_channels, out_channels, reduction"), ()).build("w")
        == "Gate(w, w)"
    )
    without = "class Shift(nn.Module):\n    def forward(self, x):\n        return x.roll(1, 2)\n"
    assert read_module(without, ()).build("w") == "Shift()"


def test_a_module_that_asks_for_more_than_widths_gets_what_is_usual() -> None:
    module = read_module(GATE.replace("channels, reduction=4", "stride, channels, reduction"), ())
    assert module.build("w") == "Gate(stride=1, channels=w, reduction=4)"
    assert build(module.alone([(4, 8, 8)]))(torch.randn(2, 3, 8, 8)).shape == (2, 10)


def test_alone_a_module_that_changes_the_shape_says_which() -> None:
    shrinking = GATE.replace("return x *", "return x[:, :, ::2] *")
    source = read_module(shrinking, ()).alone([(4, 8, 8)])
    with pytest.raises(ValueError, match=r"was given \(2, 4, 8, 8\) and returned \(2, 4, 4, 8\): it must keep the sh"):
        build(source)(torch.randn(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("class Gate(:", "the module does not parse: Syntax Error"),
        ("def gate(x):\n    return x\n", "the reply contains no class with a forward method"),
        (
            "class Network(nn.Module):\n    def forward(self, x):\n        return x\n",
            "a class Network but no other module",
        ),
        (GATE.replace("reduction=4", "blocks"), "Gate requires blocks; a module is built from channels only"),
        (
            GATE.replace("channels, reduction=4", "c1_dim, c2_dim, c3_dim, c4_dim"),
            "Gate requires c1_dim, c2_dim, c3_dim, c4_dim; a module is built from channels only",
        ),
        (GATE.replace("(self, x)", "(self, x, y)"), "Gate.forward takes x, y; a module takes one feature map"),
        (GATE.replace("(self, x)", "(self)"), "Gate.forward takes nothing; a module takes one feature map"),
    ],
)
def test_what_cannot_be_placed_is_refused(code: str, message: str) -> None:
    with pytest.raises(ModuleError) as caught:
        read_module(code, ())
    assert message in str(caught.value)
