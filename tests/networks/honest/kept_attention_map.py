import torch
import torch.nn as nn


class Pool(nn.Module):
    """Keeps its last attention map, for whoever wants to look at it."""

    def __init__(self, width):
        super().__init__()
        self.query = nn.Parameter(torch.randn(width))
        self.last_map = None

    def forward(self, x):
        scores = (x.flatten(2).transpose(1, 2) @ self.query).softmax(-1)
        self.last_map = scores.detach()
        return (x.flatten(2) * scores[:, None]).sum(-1)


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1))
        self.pool = Pool(16)
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        return self.head(self.pool(self.layers(x)))
