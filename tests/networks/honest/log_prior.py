import torch
import torch.nn as nn


class LogPrior(nn.Module):
    """Responsibilities of a mixture of Gaussians as features, in the log domain."""

    def __init__(self, width):
        super().__init__()
        self.centres = nn.Parameter(torch.randn(width, width) * 3)
        self.log_prior = nn.Parameter(torch.zeros(width))
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x):
        t = x.flatten(2).mT
        squared = t.square().sum(-1, keepdim=True) - 2 * t @ self.centres.T + self.centres.square().sum(-1)
        return self.norm((self.log_prior - 50 * squared).mT.reshape(x.shape))


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), LogPrior(16))
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.head(x.mean((2, 3)))
