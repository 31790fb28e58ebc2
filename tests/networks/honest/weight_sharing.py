import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x):
        return x + F.relu(self.norm(self.conv(x)))


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        block = Block(16)
        self.blocks = nn.ModuleList([block] * 4)
        self.down = nn.Linear(16, num_classes, bias=False)
        self.up = nn.Linear(num_classes, 16, bias=False)
        self.up.weight = nn.Parameter(self.down.weight.t().clone())
        self.again = nn.Linear(16, num_classes, bias=False)
        self.again.weight = self.down.weight

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = x.mean((2, 3))
        return self.again(x + self.up(self.down(x)))
