import torch
import torch.nn as nn
import torch.nn.functional as F


class Shuffle(nn.Module):
    """Channels of every pixel in an order that is drawn once."""

    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, groups=4)
        self.register_buffer("order", torch.randperm(width))

    def forward(self, x):
        return F.relu(x + self.conv(x[:, self.order]))


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Shuffle(16), Shuffle(16))
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.head(x.mean((2, 3)))
