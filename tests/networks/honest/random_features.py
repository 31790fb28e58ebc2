import torch
import torch.nn as nn


class RandomFeatures(nn.Module):
    """A frozen random projection followed by sines and cosines."""

    def __init__(self, width, num_features=32):
        super().__init__()
        self.register_buffer("projection", torch.randn(width, num_features))
        self.mix = nn.Conv2d(2 * num_features, width, 1)

    def forward(self, x):
        y = torch.einsum("bchw,cf->bfhw", x, self.projection)
        return x + self.mix(torch.cat([y.sin(), y.cos()], 1))


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(RandomFeatures(16))
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.head(x.mean((2, 3)))
