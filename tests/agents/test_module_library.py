"""Checked modules as parts of sources, without running any."""

import ast

import pytest

from agents.builtin.new_module import ModuleError
from agents.module_library import add_modules, add_used_modules, find_new_modules, select_modules, write_test_network
from fairnad.ideas.checked_modules import CheckedModule
from fairnad.ports import Proposal


def part(name: str, needs: str = "", imports: str = "import torch.nn as nn\n") -> CheckedModule:
    source = f"{imports}{needs}class {name}(nn.Module):\n    def forward(self, x):\n        return x\n"
    return CheckedModule(f"pack/{name}", name, "does nothing", source)


GATE = part("Gate", "SIZE = 3\n", "import math\nimport torch.nn as nn\n")
MIX = part("Mix")
SOURCE = '''\
"""A network."""

from __future__ import annotations

import torch.nn as nn

@decorated
class Block(nn.Module):
    def __init__(self, channels):
        self.gate = Gate(channels)


class Network(nn.Module):
    pass
'''


def test_a_part_that_is_used_and_not_defined_is_written_before_the_classes() -> None:
    text, used = add_modules(SOURCE, [GATE, MIX])
    assert used == ["Gate"]
    assert text.startswith(
        '"""A network."""\n\nfrom __future__ import annotations\n\nimport math\nimport torch.nn as nn\n'
    )
    names = [node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    assert names == ["Gate", "Block", "Network"]
    assert text.index("SIZE = 3") < text.index("class Gate") < text.index("@decorated")
    assert text.count("import torch.nn") == 1
    assert add_modules(text, [GATE]) == (text, [])


def test_a_source_that_uses_no_part_or_does_not_parse_stays_as_it_is() -> None:
    assert add_modules(SOURCE, [MIX]) == (SOURCE, [])
    assert add_modules("class Gate(:", [GATE]) == ("class Gate(:", [])


def test_a_part_whose_names_mean_something_else_in_the_parent_is_not_at_hand() -> None:
    assert select_modules([GATE, MIX], GATE.source) == [GATE, MIX]
    assert select_modules([GATE, MIX], "class Mix: pass") == [GATE]
    assert select_modules([GATE, MIX], "SIZE = 7") == [MIX]
    assert select_modules([GATE], "def broken(") == [GATE]


def test_a_proposal_is_completed_and_says_so() -> None:
    made = add_used_modules(Proposal(SOURCE, "the idea"), [GATE])
    assert isinstance(made, Proposal)
    assert made.note == "uses Gate" and "class Gate" in made.source
    noted = add_used_modules(Proposal(SOURCE, "the idea", note="second attempt at the edits"), [GATE])
    assert isinstance(noted, Proposal) and noted.note == "second attempt at the edits; uses Gate"
    untouched = Proposal(SOURCE, "the idea")
    assert add_used_modules(untouched, [MIX]) is untouched


CANDIDATE = """\
import torch
import torch.nn as nn


class Old(nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return x


class Fresh(nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return 2 * x


class Strided(nn.Module):
    def __init__(self, channels, stride):
        super().__init__()

    def forward(self, x):
        return x


class Pair(nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, x, y):
        return x + y


class Settings:
    pass


class Network(nn.Module):
    def forward(self, x):
        return Fresh(8)(x)
"""


def test_new_modules_are_those_of_one_map_and_its_channels_alone() -> None:
    (found,) = find_new_modules(CANDIDATE, "class Old: pass")
    name, text, network = found
    assert name == "Fresh"
    assert "class Fresh" in text and "class Old" not in text
    assert "Fresh(8)" in network and "class Network" in network


def test_a_part_that_is_no_module_of_its_name_cannot_be_tried() -> None:
    assert "self.tried = nn.ModuleList([Fresh(8)" in write_test_network(
        CheckedModule("c/Fresh", "Fresh", "", next(find_new_modules(CANDIDATE, "class Old: pass"))[1])
    )
    with pytest.raises(ModuleError, match=r"expected a class Gate with a forward, built as Gate\(channels\)"):
        write_test_network(GATE)
