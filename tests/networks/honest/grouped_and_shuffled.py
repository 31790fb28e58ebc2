import torch.nn as nn


class Block(nn.Module):
    def __init__(self, width, groups):
        super().__init__()
        self.groups = groups
        self.conv = nn.Conv2d(width, width, 3, padding=1, groups=groups)
        self.norm = nn.BatchNorm2d(width)
        self.slope = nn.PReLU(width)

    def forward(self, x):
        y = self.slope(self.norm(self.conv(x)))
        b, c, h, w = y.shape
        return x + y.view(b, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(b, c, h, w)


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.blocks = nn.Sequential(*[Block(32, 4) for _ in range(3)])
        self.head = nn.Conv2d(32, num_classes, 1)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x))).mean((2, 3))
