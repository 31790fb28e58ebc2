import torch
import torch.nn as nn
import torch.nn.functional as F


class Quantiser(nn.Module):
    """The nearest entry of a learned codebook, with a gradient straight through."""

    def __init__(self, width, num_codes=32):
        super().__init__()
        self.codes = nn.Parameter(torch.randn(num_codes, width))

    def forward(self, x):
        t = x.flatten(2).mT
        similarity = t @ self.codes.T
        nearest = F.one_hot(similarity.argmax(-1), len(self.codes)).to(t.dtype)
        weights = nearest + similarity.softmax(-1) - similarity.softmax(-1).detach()
        return x + (weights @ self.codes).mT.reshape(x.shape)


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Quantiser(16))
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.head(x.mean((2, 3)))
