import torch
import torch.nn as nn
import torch.nn.functional as F


class Adder(nn.Module):
    """Negative distances to filters in place of products, as in adder networks."""

    def __init__(self, width):
        super().__init__()
        self.filters = nn.Parameter(torch.randn(width, width))
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x):
        size = x.shape[2:]
        x = F.adaptive_avg_pool2d(x, 4)
        distance = (x[:, None] - self.filters[None, :, :, None, None]).abs().sum(2)
        return F.relu(F.interpolate(self.norm(-distance), size))


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Adder(16), Adder(16))
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.head(x.mean((2, 3)))
