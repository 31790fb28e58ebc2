"""A small network with places to add lines at."""

from __future__ import annotations

NETWORK = """
import torch
import torch.nn as nn
import torch.nn.functional as F

{globals}

class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.head = nn.Linear(16, num_classes)
        {init}

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)))
        {forward}
        x = x.mean((2, 3))
        {late}
        return self.head(x)
"""


def network(**parts: str) -> str:
    """The network with lines added at its places, indented as they must be there."""
    places = dict.fromkeys(("globals", "init", "forward", "late"), "")
    top = parts.pop("globals", "")
    return NETWORK.format(
        **places | {name: part.replace("\n", "\n        ") for name, part in parts.items()} | {"globals": top}
    )
