import math

import torch
import torch.nn as nn


class Cosine(nn.Module):
    """A discrete cosine transform of fixed coefficients, gated."""

    def __init__(self, width):
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, x):
        n = x.shape[-1]
        at = torch.arange(n, device=x.device, dtype=x.dtype)
        basis = torch.cos(math.pi / n * (at[:, None] + 0.5) * at)
        return x + self.gate.tanh() * (basis.T @ x @ basis)


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), Cosine(16))
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.head(x.mean((2, 3)))
