import torch
import torch.nn as nn
import torch.nn.functional as F


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(3 + 8 * i, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ELU()) for i in range(5)]
        )
        self.head = nn.Linear(43, num_classes)

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))
