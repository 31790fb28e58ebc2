import torch
import torch.nn as nn
import torch.nn.functional as F


class Hyper(nn.Module):
    """A small network writes the weights of a layer, from an embedding of the layer."""

    def __init__(self, width):
        super().__init__()
        self.layer = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.embedding = nn.Parameter(torch.randn(8))
        self.writer = nn.Linear(8, width * 9)

    def forward(self, x):
        scale = self.writer(self.embedding).view_as(self.layer.weight)
        state = {"weight": self.layer.weight * scale, "bias": self.layer.bias}
        return x + F.relu(torch.func.functional_call(self.layer, state, (x,)))


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Hyper(16), Hyper(16))
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.head(x.mean((2, 3)))
