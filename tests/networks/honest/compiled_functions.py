import torch
import torch.nn as nn


@torch.jit.script
def swish(x):
    return x * torch.sigmoid(x)


@torch.compile(dynamic=True)
def squash(x):
    return torch.tanh(x)


class Swish(nn.Module):
    @torch.jit.ignore
    def scale(self):
        return 1.5

    def forward(self, x):
        return squash(swish(x)) * self.scale()


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Swish(), nn.Conv2d(16, 16, 3, padding=1), Swish())
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.head(x.mean((2, 3)))
