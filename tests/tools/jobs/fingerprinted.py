"""Small networks, and edits of them, whose architectures are told apart."""

from __future__ import annotations

from pathlib import Path

from fairnad.domain.contract import Contract
from tools.jobs.fingerprint import Fingerprint, trace
from tools.jobs.network_source import build_network

RESNET = Path(__file__).parents[3] / "prompts" / "vision" / "models" / "resnet32.py"
HEADER = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"

BASE = """
class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=1)
        self.norm = nn.BatchNorm2d(channels, eps=1e-5)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(x + self.norm(self.conv(x)))


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.first = Block(8)
        self.second = Block(8)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x):
        x = self.stem(x)
        x = self.first(x)
        x = self.second(x)
        x = self.drop(x.mean((2, 3)))
        return self.head(x * 0.5)
"""


FUNCTIONAL = """
class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm2d(8), nn.BatchNorm2d(8)])
        self.weights = nn.ParameterList([torch.randn(8, 3, 3, 3), torch.randn(8, 8, 3, 3), torch.randn(8, 8, 3, 3)])
        self.biases = nn.ParameterList([torch.zeros(8), torch.zeros(8), torch.zeros(8)])
        self.matrix = nn.Parameter(torch.randn(num_classes, 8))
        self.bias = nn.Parameter(torch.randn(num_classes))

    def forward(self, x):
        x = F.conv2d(x, self.weights[0], self.biases[0])
        for i in (0, 1):
            y = F.conv2d(x, self.weights[1 + i], self.biases[1 + i], padding="same")
            x = torch.relu(self.norms[i](y) + x)
        x = F.dropout(x.mean((2, 3)), 0.1, self.training)
        return F.linear(0.5 * x, self.matrix, self.bias)
"""


def fingerprint(source: str, image_size: int = 8, seed: int = 0) -> Fingerprint:
    contract = Contract.for_images(image_size, 4)
    return trace(build_network(HEADER + source, contract, seed=seed), contract)


def edited(*edits: tuple[str, str]) -> str:
    source = BASE
    for old, new in edits:
        assert old in source
        source = source.replace(old, new)
    return source
