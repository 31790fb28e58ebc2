"""Networks written in different ways, and what running a source needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from fvcore.nn import FlopCountAnalysis
from torch import nn

from agents.builtin.catalogue import transformations
from fairnad.records.candidate import CheckReport, Failure, FailureKind, Step
from prompts.loader import load_pack

torch.set_num_threads(1)

LIBRARY = load_pack("vision").library
TRANSFORMATIONS = transformations(LIBRARY)

_MODELS = Path(__file__).parents[3] / "prompts" / "vision" / "models"

RESNET = (_MODELS / "resnet32.py").read_text().replace("repeats=5", "repeats=2")
"""The paper's base model, two blocks a stage to be quick."""

SMALL_RESNET = (_MODELS / "small_resnet.py").read_text()

COMPREHENSIONS = """
import torch
from torch import nn
from torch.nn import functional as F


class ResUnit(nn.Module):
    def __init__(self, cin, cout, s=1):
        super(ResUnit, self).__init__()
        self.body = nn.Sequential(
            nn.Conv2d(cin, cout, 3, stride=s, padding=1, bias=False),
            nn.BatchNorm2d(cout),
            nn.ReLU(inplace=True),
            nn.Conv2d(cout, cout, 3, padding=1, bias=False),
            nn.BatchNorm2d(cout),
        )
        self.skip = nn.Sequential()
        if s != 1 or cin != cout:
            self.skip = nn.Sequential(nn.Conv2d(cin, cout, 1, stride=s, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        return F.relu(self.body(x) + self.skip(x))


class Network(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        widths = [8, 12, 16]
        depths = (2, 3, 2)
        c1, c2, c3 = widths
        self.stem = nn.Sequential(nn.Conv2d(3, c1, 3, padding=1, bias=False), nn.BatchNorm2d(c1), nn.ReLU())
        self.layers1 = nn.Sequential(*[ResUnit(c1, c1) for _ in range(depths[0])])
        self.layers2 = nn.Sequential(*[ResUnit(c1 if i == 0 else c2, c2, 2 if i == 0 else 1) for i in range(depths[1])])
        self.layers3 = nn.Sequential(ResUnit(c2, c3, 2), *[ResUnit(c3, c3) for _ in range(depths[2] - 1)])
        self.head = nn.Linear(c3, num_classes)

    def forward(self, x):
        x = self.layers3(self.layers2(self.layers1(self.stem(x))))
        return self.head(x.mean(dim=(2, 3)))
"""
"""Stages in comprehensions, widths and depths in local variables, calls nested in each other."""

BOTTLENECKS = '''
import torch
import torch.nn as nn
import torch.nn.functional as F


class Bottleneck(nn.Module):
    expansion = 2

    def __init__(self, in_planes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, self.expansion * planes, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(self.expansion * planes)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_planes != self.expansion * planes:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_planes, self.expansion * planes, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(self.expansion * planes),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += self.shortcut(x)
        out = F.relu(out)
        return out


class Network(nn.Module):
    """A small network of bottlenecks whose width is handed on in an attribute."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.in_planes = 8
        self.conv1 = nn.Conv2d(3, 8, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layers1 = self._make_layer(Bottleneck, 4, 2, stride=1)
        self.layers2 = self._make_layer(Bottleneck, 8, 3, stride=2)
        self.layers3 = self._make_layer(Bottleneck, 16, 2, stride=2)
        self.linear = nn.Linear(16 * Bottleneck.expansion, num_classes)

    def _make_layer(self, block, planes, num_blocks, stride):
        strides = [stride] + [1] * (num_blocks - 1)
        layers = []
        for stride in strides:
            layers.append(block(self.in_planes, planes, stride))
            self.in_planes = planes * block.expansion
        return nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layers1(out)
        out = self.layers2(out)
        out = self.layers3(out)
        out = F.adaptive_avg_pool2d(out, 1)
        out = out.view(out.size(0), -1)
        return self.linear(out)
'''
"""The block passed to the method that builds a stage; a sum in place; activations as functions."""

SOURCES = {
    "resnet": RESNET,
    "small_resnet": SMALL_RESNET,
    "comprehensions": COMPREHENSIONS,
    "bottlenecks": BOTTLENECKS,
}


def build(source: str) -> Any:
    """The network of a source, for ten classes, its weights drawn from a fixed seed."""
    namespace: dict[str, Any] = {"__name__": "candidate"}
    exec(compile(source, "candidate.py", "exec"), namespace)
    torch.manual_seed(0)
    return namespace["Network"](num_classes=10)


def run(source: str, *, train_side: int = 16, eval_side: int = 32) -> nn.Module:
    """Build a source, run it forward and backward in training mode, and forward in evaluation mode.

    Asserts that outputs have their shape and that outputs and gradients are finite.
    """
    network = build(source)
    logits = network.train()(torch.randn(2, 3, train_side, train_side))
    assert logits.shape == (2, 10)
    F.cross_entropy(logits, torch.tensor([1, 2])).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
    with torch.no_grad():
        logits = network.eval()(torch.randn(2, 3, eval_side, eval_side))
    assert logits.shape == (2, 10)
    assert torch.isfinite(logits).all()
    return network


def costs(source: str, side: int = 16) -> dict[str, float]:
    """Parameters, and multiply-adds of one image in evaluation mode."""
    network = build(source).eval()
    counter = FlopCountAnalysis(network, torch.randn(1, 3, side, side))
    counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return {"params": float(sum(p.numel() for p in network.parameters())), "flops": float(counter.total())}


def report(source: str, side: int = 16) -> CheckReport:
    """What a check job says of a source: real costs and output shapes, and a stand-in for the fingerprint."""
    network = build(source).eval()
    blocks: list[tuple[str, str, tuple[int, ...]]] = []
    for name, module in network.named_modules():
        module.register_forward_hook(
            lambda m, _, out, name=name: blocks.append((type(m).__name__, name, tuple(out.shape)))
        )
    with torch.no_grad():
        network(torch.randn(2, 3, side, side))
    return CheckReport(costs(source, side), fingerprint=repr(network), num_repeats=2, blocks=tuple(blocks))


async def check(source: str) -> CheckReport | Failure:
    """As a lab's check: real costs, or a failure for a source that does not build."""
    try:
        return CheckReport(costs(source), fingerprint="", num_repeats=2)
    except RuntimeError as error:
        return Failure(Step.EXECUTE, FailureKind.SHAPE, str(error))
