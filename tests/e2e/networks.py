"""Small networks as a language model might write them: good ones, and one for each way to fail."""

from __future__ import annotations

from collections.abc import Mapping

UNJAILED: Mapping[str, object] = {
    "lab.isolation": "E",
    "lab.source_policy": False,
}
"""Flags of a search whose networks tell of their trainings by files, which a jail would not let them write."""

_TEMPLATE = """
import torch
import torch.nn as nn


class BaseBlock(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, {kernel_size}, padding={kernel_size} // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = nn.{activation}()

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))

{added_class}
class Network(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.stem = BaseBlock(3, {width})
        self.layers1 = nn.Sequential(*[BaseBlock({width}, {width}) for _ in range({repeats})])
        self.added = {added}
        self.pool = nn.AdaptiveAvgPool2d({pooled})
        self.head = nn.Linear({width}, num_classes)

    def forward(self, x):
        return self.head(self.pool(self.added(self.layers1(self.stem(x)))).flatten(1))
"""

_ADDED_CLASS = """
class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.fc(x))

"""


def network(
    *,
    width: int = 8,
    repeats: int = 2,
    kernel_size: int = 3,
    activation: str = "ReLU",
    num_added: int = 0,
    pooled: int = 1,
) -> str:
    """The source of a network; ``num_added`` gates are used in series, ``pooled`` other than 1 breaks the head."""
    gates = ", ".join([f"Gate({width})"] * num_added)
    return _TEMPLATE.format(
        width=width,
        repeats=repeats,
        kernel_size=kernel_size,
        activation=activation,
        added=f"nn.Sequential({gates})" if num_added else "nn.Identity()",
        added_class=_ADDED_CLASS if num_added else "",
        pooled=pooled,
    ).lstrip()


def costs(*, width: int = 8, repeats: int = 2, num_added: int = 0) -> int:
    """How many parameters :func:`network` has with kernel size 3."""
    stem = 3 * width * 9 + 2 * width
    block = width * width * 9 + 2 * width
    gate = width * width + width
    head = width * 10 + 10
    return stem + repeats * block + num_added * gate + head


BROKEN = network(pooled=2)
"""A shape error in the head: it builds and does not run."""
NO_NETWORK = "import torch\n\nvalue = 3\n"
SINGLE_LAYER = network(repeats=0).replace("self.stem = BaseBlock(3, 8)", "self.stem = nn.Conv2d(3, 8, 3, padding=1)")
