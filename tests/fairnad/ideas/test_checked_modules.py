import ast

import pytest

from fairnad.ideas.checked_modules import CheckedModule, SourceFile, distinct

CODE = '''\
"""A file."""

import math

import torch.nn as nn

RATIO = 4


def hidden(channels):
    return math.ceil(channels / RATIO)


class Squeeze(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, hidden(channels), 1)


class Other(nn.Module):
    pass


@torch.jit.ignore
class Gate(Squeeze):
    pass


if RATIO:
    pass
'''
FILE = SourceFile(CODE, ast.parse(CODE))


def test_a_module_comes_with_all_it_needs_and_nothing_else() -> None:
    text = FILE.module("Gate")
    assert [type(node).__name__ for node in ast.parse(text).body] == [
        *("Import", "Import", "Assign", "FunctionDef", "ClassDef", "ClassDef"),
    ]
    assert text.startswith("import math\nimport torch.nn as nn\n\n\nRATIO = 4\n\n\ndef hidden")
    assert "@torch.jit.ignore\nclass Gate(Squeeze):\n    pass\n" in text
    assert "Other" not in text and "A file" not in text


def test_what_is_not_there_is_no_module() -> None:
    with pytest.raises(KeyError):
        FILE.module("Missing")


def test_of_modules_that_are_alike_the_first_is_kept() -> None:
    gate = CheckedModule("pack/Gate", "Gate", "gates", "class Gate: a")
    modules = [
        gate,
        CheckedModule("c/Gate", "Gate", "another one", "class Gate: b"),
        CheckedModule("d/Copy", "Copy", "the same", "class Gate: a"),
        CheckedModule("e/Mix", "Mix", "mixes", "class Mix: a"),
        CheckedModule("f/More", "More", "is one too many", "class More: a"),
    ]
    assert [module.module_id for module in distinct(modules, 2)] == ["pack/Gate", "e/Mix"]
    assert distinct(modules, 0) == []
