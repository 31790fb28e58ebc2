import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class Haar(nn.Module):
    """A layer on the four bands of a wavelet transform, and back."""

    def __init__(self, width):
        super().__init__()
        one = torch.tensor([1.0, 1.0]) / math.sqrt(2)
        two = torch.tensor([1.0, -1.0]) / math.sqrt(2)
        bands = torch.stack([a.outer(b) for a in (one, two) for b in (one, two)])
        self.register_buffer("bands", bands[:, None].repeat(width, 1, 1, 1))
        self.mix = nn.Conv2d(4 * width, 4 * width, 1, groups=width)
        self.width = width

    def forward(self, x):
        y = F.conv2d(x, self.bands, stride=2, groups=self.width)
        return x + F.conv_transpose2d(self.mix(y), self.bands, stride=2, groups=self.width)


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Haar(16), Haar(16))
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.head(x.mean((2, 3)))
