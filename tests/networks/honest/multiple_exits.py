import torch
import torch.nn as nn
import torch.nn.functional as F


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.stages = nn.ModuleList([nn.Conv2d(16, 16, 3, padding=1) for _ in range(3)])
        self.exits = nn.ModuleList([nn.Linear(16, num_classes) for _ in range(3)])
        self.temperature = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        x, logits = self.stem(x), []
        for stage, leave in zip(self.stages, self.exits):
            x = x + F.relu(stage(x))
            logits.append(leave(x.mean((2, 3))))
        return torch.stack(logits, -1) @ self.temperature.softmax(0)
