"""How many times a network repeats its blocks in series."""

from __future__ import annotations

import pytest

from fairnad.domain.contract import Contract
from tests.tools.jobs.fingerprinted import BASE, FUNCTIONAL, RESNET, fingerprint
from tools.jobs.fingerprint import trace
from tools.jobs.network_source import build_network


def stack(*layers: str, head: str = "nn.Linear(8, num_classes)") -> str:
    """A network of unnamed layers in series."""
    return f"""
class Network(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__({", ".join(layers)}, nn.AdaptiveAvgPool2d(1), nn.Flatten(), {head})
"""


def conv(channels_in: int, channels_out: int, kernel: int = 3) -> str:
    layer = f"nn.Conv2d({channels_in}, {channels_out}, {kernel}, padding={kernel // 2})"
    return f"{layer}, nn.BatchNorm2d({channels_out}), nn.ReLU()"


TWO_BRANCHES = BASE.replace("Conv2d(3, 8, 3)", "Conv2d(3, 8, 1)").replace(
    "x = self.first(x)\n        x = self.second(x)", "x = self.first(x) + self.second(x)"
)
STAGES = """
class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + F.relu(self.conv(x))


class Stage(nn.Module):
    def __init__(self, channels, depth):
        super().__init__()
        self.blocks = nn.Sequential(*[Block(channels) for _ in range(depth)])

    def forward(self, x):
        return self.blocks(x)


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.stages = nn.ModuleList([Stage(8, 3), Stage(8, 2)])
        self.head = nn.Linear(8, num_classes)

    def forward(self, x):
        x = self.stem(x)
        for stage in self.stages:
            x = F.max_pool2d(stage(x), 2)
        return self.head(x.mean((2, 3)))
"""
GATED = """
class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.down = nn.Conv2d(channels, 4, 1)
        self.up = nn.Conv2d(4, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.gate = Gate(8)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.head(self.gate(self.conv(x)).mean((2, 3)))
"""
GATED_TWICE = GATED.replace("self.gate(self.conv(x))", "self.gate(self.gate(self.conv(x)))")
RECURRENT = BASE.replace("x = self.second(x)", "x = self.first(self.first(x))")
RESIDUAL_LOOP = """
class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.wide = nn.ModuleList([nn.Conv2d(8, 8, 3, padding=1, groups=8) for _ in range(4)])
        self.flat = nn.ModuleList([nn.Conv2d(8, 8, 1) for _ in range(4)])
        self.head = nn.Linear(8, num_classes)

    def forward(self, x):
        x = self.stem(x)
        for wide, flat in zip(self.wide, self.flat):
            x = x + F.relu(flat(wide(x)))
        return self.head(x.mean((2, 3)))
"""
TRANSFORMER = """
class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, stride=4)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.head(self.encoder(self.embed(x).flatten(2).transpose(1, 2)).mean(1))
"""


@pytest.mark.parametrize(
    ("source", "num_repeats"),
    [
        pytest.param(BASE, 2, id="two blocks"),
        pytest.param(FUNCTIONAL, 3, id="three equal functional convolutions"),
        pytest.param(stack(conv(3, 8)), 1, id="a single layer"),
        pytest.param(stack(conv(3, 8), conv(8, 8)), 2, id="a plain stack of two"),
        pytest.param(stack(conv(3, 4), conv(4, 6), conv(6, 8)), 3, id="widths do not count"),
        pytest.param(stack(conv(3, 8), conv(8, 8, 5)), 1, id="kernels do"),
        pytest.param(stack(conv(3, 8), head="nn.Linear(8, 8), nn.Linear(8, num_classes)"), 1, id="a hidden layer"),
        pytest.param(TWO_BRANCHES, 1, id="branches are not in series"),
        pytest.param(STAGES, 5, id="blocks of all stages"),
        pytest.param(GATED, 1, id="a gate is no layer"),
        pytest.param(GATED_TWICE, 1, id="a repeated gate is no block"),
        pytest.param(RECURRENT, 3, id="one block with shared weights"),
        pytest.param(RESIDUAL_LOOP, 4, id="pairs of layers in a loop"),
        pytest.param(TRANSFORMER, 3, id="a transformer without classes of its own"),
        pytest.param(
            "class Network(nn.Module):\n    def __init__(self, num_classes):\n        super().__init__()\n"
            "        self.head = nn.Linear(192, num_classes)\n    def forward(self, x):\n"
            "        return self.head(x.flatten(1))",
            1,
            id="a head alone",
        ),
    ],
)
def test_repeats_are_counted_in_series(source, num_repeats):
    assert fingerprint(source).num_repeats == num_repeats


def test_resnet32_repeats_its_block_fifteen_times():
    network = build_network(RESNET.read_text(), Contract.for_images(32, 10), seed=0)
    found = trace(network, Contract.for_images(32, 10))
    assert found.num_repeats == 15
    assert found.blocks[0] == ("Stem", "stem", (2, 16, 32, 32))
    assert ("BaseBlock", "layers3.4", (2, 64, 8, 8)) in found.blocks


def test_blocks_are_capped_and_their_names_cut():
    source = stack(conv(3, 8), *["nn.Identity()"] * 500)
    assert len(fingerprint(source).blocks) == 400
    long = "L" * 100
    source = BASE.replace("Block", long).replace("self.first", f"self.{long}")
    name, qualified_name, _ = fingerprint(source).blocks[1]
    assert (len(name), len(qualified_name)) == (60, 60)
