import torch
import torch.nn as nn
import torch.nn.functional as F


class Noise(nn.Module):
    def forward(self, x):
        return x + 0.1 * torch.randn_like(x) if self.training else x


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, padding=1), nn.SELU(), nn.AlphaDropout(0.1), Noise()),
            *(nn.Conv2d(16, 16, 3, padding=1), nn.RReLU(), nn.Dropout2d(0.2)),
            *(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.FractionalMaxPool2d(2, output_ratio=0.5))[:2],
            *(nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, num_classes)),
        )

    def forward(self, x):
        x = F.dropout(x, 0.1, self.training)
        return self.layers(x)
