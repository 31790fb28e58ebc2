import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils import parametrizations, parametrize


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).transpose(-1, -2)


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = parametrizations.weight_norm(nn.Conv2d(3, 16, 3, padding=1))
        self.conv = parametrizations.spectral_norm(nn.Conv2d(16, 16, 3, padding=1))
        self.turn = parametrizations.orthogonal(nn.Linear(16, 16))
        self.mix = nn.Linear(16, 16)
        parametrize.register_parametrization(self.mix, "weight", Symmetric())
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = F.relu(self.conv(F.relu(self.stem(x)))).mean((2, 3))
        return self.head(F.relu(self.mix(self.turn(x))))
