import libcst as cst
import pytest

from agents.builtin import syntax
from agents.builtin.network_reading import NetworkReading
from agents.builtin.size_inference import SizeInference
from agents.builtin.torch_layers import SizeUse
from tests.agents.builtin.networks import BOTTLENECKS, COMPREHENSIONS, RESNET, SMALL_RESNET


def literals(source: str, role: SizeUse) -> list[int]:
    found = (syntax.integer(node) for node in SizeInference(cst.parse_module(source)).literals(role))
    return [value for value in found if value is not None]


def network(init: str, methods: str = "") -> str:
    """A network whose ``__init__`` is given, beside a block called ``Unit``."""
    lines = "\n        ".join(init.strip().splitlines())
    return (
        "import torch.nn as nn\n\n\nWIDTHS = [32, 64]\n\n\nclass Unit(nn.Module):\n"
        "    def __init__(self, a, b, s=1):\n        super().__init__()\n"
        "        self.conv = nn.Conv2d(a, b, 3, s, 1)\n\n    def forward(self, x):\n        return self.conv(x)\n\n\n"
        f"class Network(nn.Module):\n    def __init__(self, num_classes=10, base=16):\n        {lines}\n{methods}\n"
        "    def forward(self, x):\n        return x\n"
    )


def test_widths_are_found_where_they_flow_into_layers() -> None:
    assert literals(RESNET, SizeUse.WIDTH) == [16, 16, 16, 16, 32, 32, 64, 64]
    assert literals(SMALL_RESNET, SizeUse.WIDTH) == [4, 4, 4, 4, 8, 8, 8, 8]
    assert literals(COMPREHENSIONS, SizeUse.WIDTH) == [8, 12, 16]
    assert literals(BOTTLENECKS, SizeUse.WIDTH) == [8, 8, 8, 4, 8, 16, 16]


def test_repeats_are_found_where_they_flow_into_loops() -> None:
    assert literals(RESNET, SizeUse.REPEATS) == [2, 2, 2]
    assert literals(COMPREHENSIONS, SizeUse.REPEATS) == [2, 3, 2]
    assert literals(BOTTLENECKS, SizeUse.REPEATS) == [2, 3, 2]


@pytest.mark.parametrize(
    ("init", "widths", "repeats"),
    [
        ("self.a = Unit(3, base)", [16], []),
        ("self.a = Unit(3, base * 2)", [16], []),
        ("self.a = Unit(3, 4 * 12)", [12], []),
        ("self.a = Unit(3, 24 // 2)", [24], []),
        ("self.a = nn.Linear(16 + 32, num_classes)", [16, 32], []),
        ("self.a = Unit(*WIDTHS)", [], []),
        ("self.a = Unit(3, WIDTHS[1])", [64], []),
        ("self.a = Unit(3, WIDTHS[-1])", [64], []),
        ("for w, n in zip(WIDTHS, [2, 5]):\n    self.a = [Unit(w, w) for _ in range(n)]", [32, 64], [2, 5]),
        ("for i, w in enumerate([8, 12]):\n    self.a = Unit(3, w)", [8, 12], []),
        ("a, (b, c) = 8, (12, 20)\nself.a = Unit(a, c)", [8, 20], []),
        ("w = 8 if num_classes > 10 else 12\nself.a = Unit(3, int(w * 1.5))", [8, 12], []),
        ("self.a = nn.Parameter(torch.zeros(1, base, 4, 4))", [16], []),
        ("self.a = nn.Parameter(torch.full((base, 1, 1), 0.5))", [16], []),
        ("self.w = 8\nself.a = Unit(self.w, self.w)", [8], []),
        ("for i in range(3):\n    for j in range(2):\n        self.a = Unit(3, 8)", [8], [2]),
        ("self.a = nn.Sequential(*[Unit(8, 8) for _ in range(1, 4)])", [8, 8], [4]),
    ],
)
def test_numbers_are_followed_through(init: str, widths: list[int], repeats: list[int]) -> None:
    source = network(init)
    assert sorted(literals(source, SizeUse.WIDTH)) == sorted(widths)
    assert literals(source, SizeUse.REPEATS) == repeats


def test_strides_kernels_and_groups_are_told_apart() -> None:
    source = network("self.a = Unit(8, 8, 2)\nself.b = nn.Conv2d(8, 8, 5, groups=4)")
    assert literals(source, SizeUse.STRIDE) == [2]
    assert literals(source, SizeUse.KERNEL) == [5]
    assert literals(source, SizeUse.GROUPS) == [4]


@pytest.mark.parametrize(
    ("source", "widths", "blocks", "stem", "end"),
    [
        (RESNET, ["16", "32", "64"], ("BaseBlock",), "stem", "64"),
        (COMPREHENSIONS, ["c1", "c2", "c3"], ("ResUnit",), "stem", "c3"),
        (
            BOTTLENECKS,
            [f"Bottleneck.expansion * {planes}" for planes in (4, 8, 16)],
            ("Bottleneck",),
            "conv1",
            "16 * Bottleneck.expansion",
        ),
    ],
    ids=["resnet", "comprehensions", "bottlenecks"],
)
def test_stages_are_read(source: str, widths: list[str], blocks: tuple[str, ...], stem: str, end: str) -> None:
    reading = NetworkReading(cst.parse_module(source))

    assert [stage.name for stage in reading.stages] == ["layers1", "layers2", "layers3"]
    assert [stage.width for stage in reading.stages] == widths
    assert reading.blocks == blocks
    assert reading.stem == stem
    assert reading.end_width == end


def test_a_stage_of_a_class_of_its_own_is_read() -> None:
    stage = (
        "class Stage(nn.Module):\n    def __init__(self, a, b, depth):\n        super().__init__()\n"
        "        self.blocks = nn.Sequential(Unit(a, b, 2), *[Unit(b, b) for _ in range(depth - 1)])\n\n"
        "    def forward(self, x):\n        return self.blocks(x)\n\n\n"
    )
    source = network("self.layers1 = Stage(16, 32, depth=3)").replace("class Network", f"{stage}class Network")
    reading = NetworkReading(cst.parse_module(source))

    assert [(found.name, found.width, found.blocks) for found in reading.stages] == [("layers1", "32", ("Unit",))]
    assert literals(source, SizeUse.REPEATS) == [3]


def test_branch_and_shortcut_are_told_apart() -> None:
    reading = NetworkReading(cst.parse_module(RESNET)).read("BaseBlock")

    assert reading.sum is not None
    assert syntax.code(reading.sum.branch) == "out"
    assert syntax.code(reading.sum.shortcut) == "self.shortcut(x)"
    assert reading.width_of(reading.sum.branch) == "out_channels"
    assert reading.shortcut_members == {"shortcut"}


@pytest.mark.parametrize(
    ("forward", "branch", "shortcut"),
    [
        ("return x + self.f(x)", "self.f(x)", "x"),
        ("return self.f(x) + x", "self.f(x)", "x"),
        ("y = x\nx = self.f(x)\nx = self.g(x)\nreturn y + x", "x", "y"),
        ("a = self.f(self.g(x))\nb = self.g(x)\nreturn b + a", "a", "b"),
        ("a = self.f(x)\nreturn self.g(a + self.skip(x) + self.h(x))", "a", "self.skip(x)"),
    ],
)
def test_sums_are_read(forward: str, branch: str, shortcut: str) -> None:
    body = "\n        ".join(forward.splitlines())
    source = (
        f"class A(nn.Module):\n    def __init__(self, c):\n        pass\n    def forward(self, x):\n        {body}\n"
    )
    found = NetworkReading(cst.parse_module(source)).read("A").sum

    assert found is not None
    assert (syntax.code(found.branch), syntax.code(found.shortcut)) == (branch, shortcut)


def test_sums_of_numbers_are_no_residual_sums() -> None:
    source = (
        "class A(nn.Module):\n    def __init__(self, c):\n        pass\n"
        "    def forward(self, x):\n        return self.f(x, 1 + 2) * (2 + 3)\n"
    )
    assert NetworkReading(cst.parse_module(source)).read("A").sum is None
