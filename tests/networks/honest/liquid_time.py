import torch
import torch.nn as nn


class Liquid(nn.Module):
    """A recurrent cell that reads the rows of a map from top to bottom."""

    def __init__(self, width):
        super().__init__()
        self.step = nn.Linear(2 * width, width)
        self.rate = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        rows = x.permute(2, 0, 3, 1)
        state, states = torch.zeros_like(rows[0]), []
        for row in rows:
            target = torch.tanh(self.step(torch.cat([row, state], -1)))
            state = state + self.rate.sigmoid() * (target - state)
            states.append(state)
        return x + torch.stack(states).permute(1, 3, 0, 2)


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Liquid(16))
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.head(x.mean((2, 3)))
