import torch
import torch.nn as nn


class Block(nn.Module):
    def __init__(self, width, keep):
        super().__init__()
        self.keep = keep
        self.layers = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())

    def forward(self, x):
        if not self.training:
            return x + self.keep * self.layers(x)
        if torch.rand(()) > self.keep:
            return x
        kept = torch.rand(len(x), 1, 1, 1, device=x.device) < 0.9
        return x + self.layers(x) * kept / 0.9


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.blocks = nn.ModuleList([Block(16, 1 - i / 8) for i in range(4)])
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))
