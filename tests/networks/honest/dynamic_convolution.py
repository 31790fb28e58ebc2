import torch
import torch.nn as nn
import torch.nn.functional as F


class DynamicConv(nn.Module):
    """Every image is convolved with a kernel of its own: the images of a batch become groups of one convolution."""

    def __init__(self, width, num_kernels):
        super().__init__()
        self.kernels = nn.Parameter(torch.randn(num_kernels, width, width, 3, 3) / 12)
        self.router = nn.Linear(width, num_kernels)

    def forward(self, x):
        b, c, h, w = x.shape
        weights = self.router(x.mean((2, 3))).softmax(-1)
        kernels = (weights @ self.kernels.flatten(1)).view(b * c, c, 3, 3)
        return F.conv2d(x.reshape(1, b * c, h, w), kernels, padding=1, groups=b).view(b, c, h, w)


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.convs = nn.ModuleList([DynamicConv(16, 3) for _ in range(2)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(16) for _ in range(2)])
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.stem(x)
        for conv, norm in zip(self.convs, self.norms):
            x = x + F.relu(norm(conv(x)))
        return self.head(x.mean((2, 3)))
