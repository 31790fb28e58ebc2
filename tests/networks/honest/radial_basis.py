import torch
import torch.nn as nn


class BasisLayer(nn.Module):
    """A learned function on every connection, as a sum of bumps."""

    def __init__(self, width_in, width_out, num_bumps=6):
        super().__init__()
        self.register_buffer("centres", torch.linspace(-2, 2, num_bumps))
        self.mix = nn.Linear(width_in * num_bumps, width_out)

    def forward(self, x):
        return self.mix(torch.exp(-((x[..., None] - self.centres) ** 2)).flatten(-2))


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 4, stride=4)
        self.layers = nn.Sequential(BasisLayer(16, 24), nn.LayerNorm(24), BasisLayer(24, 24), nn.LayerNorm(24))
        self.head = nn.Linear(24, num_classes)

    def forward(self, x):
        return self.head(self.layers(self.embed(x).flatten(2).mT).mean(1))
