"""What the check job tells of shapes where a forward pass fails."""

from __future__ import annotations

import pytest

from fairnad.records.candidate import Failure, FailureKind
from tools.sandbox.job import MAX_SHAPE_TRACE_CHARACTERS

pytestmark = pytest.mark.asyncio(loop_scope="session")

SOURCE = """
import torch
import torch.nn as nn

class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 3)

    def forward(self, x):
        weight = self.conv(x)
        return WHAT

class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(*[nn.Conv2d(3 if i == 0 else 8, 8, 1) for i in range(DEPTH)])
        self.gate = Gate(8)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x):
        x = self.gate(self.stem(x))
        return self.head(x.mean((2, 3)))
"""


def source(what: str, depth: int = 1) -> str:
    return SOURCE.replace("WHAT", what).replace("DEPTH", str(depth))


async def failure_of(checker, text: str) -> Failure:
    failure = await checker.check(text)
    assert isinstance(failure, Failure)
    return failure


async def test_the_shapes_are_told_up_to_the_failing_line(checker):
    failure = await failure_of(checker, source("x * weight"))

    assert failure.kind is FailureKind.SHAPE
    *calls, line, operands = failure.shape_trace.splitlines()
    assert calls == [
        "stem Sequential: (4, 3, 8, 8) → (4, 8, 8, 8)",
        "stem.0 Conv2d: (4, 3, 8, 8) → (4, 8, 8, 8)",
        "gate Gate: (4, 8, 8, 8) → it did not return",
        "gate.conv Conv2d: (4, 8, 8, 8) → (4, 1, 6, 6)",
    ]
    assert line == "line 12, in forward: return x * weight"
    assert operands == "  x (4, 8, 8, 8), weight (4, 1, 6, 6)"


async def test_of_many_calls_the_first_and_the_last_are_told(checker):
    failure = await failure_of(checker, source("x * weight", depth=60))

    lines = failure.shape_trace.splitlines()
    assert lines[4] == "… 43 more calls"
    assert len(lines) == 4 + 1 + 16 + 2
    assert lines[-3].startswith("gate.conv Conv2d")


async def test_a_source_that_fails_before_its_forward_pass_has_no_shapes(checker):
    failure = await failure_of(checker, source("x").replace("Gate(8)", "Gate(8, 3)"))

    assert failure.shape_trace == ""


async def test_a_tensor_that_lies_about_its_shape_is_not_asked(checker):
    lie = source("self.lie(x)").replace(
        "class Gate",
        "class Lie(torch.Tensor):\n    @property\n    def shape(self):\n        return 'a' * 10**6\n\nclass Gate",
    )
    lie = lie.replace(
        "    def forward(self, x):\n        weight",
        "    def lie(self, x):\n        lie = x.as_subclass(Lie)\n        raise ValueError('size')\n\n"
        "    def forward(self, x):\n        weight",
        1,
    )

    failure = await failure_of(checker, lie)

    assert failure.shape_trace.splitlines()[-1] == "  x (4, 8, 8, 8)"


async def test_what_a_job_tells_is_bounded_and_printable(checker):
    long = "x" * 200
    text = source(f"self.{long}(x)").replace("        weight = self.conv(x)\n", "")
    text = text.replace(
        "    def forward", f"    def {long}(self, x):\n        raise ValueError('\\x1b[31m')\n\n    def forward", 1
    )
    text = text.replace("self.stem = nn", f"self.{long} = nn").replace("self.stem(x)", f"self.{long}(x)")

    failure = await failure_of(checker, text)

    assert 0 < len(failure.shape_trace) <= MAX_SHAPE_TRACE_CHARACTERS
    assert all(character.isprintable() or character == "\n" for character in failure.shape_trace)
