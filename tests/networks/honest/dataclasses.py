from dataclasses import dataclass, field

import torch
import torch.nn as nn


@dataclass(frozen=True)
class Stage:
    width: int
    depth: int
    stride: int = 1


@dataclass
class Config:
    stages: list[Stage] = field(default_factory=lambda: [Stage(16, 2), Stage(32, 2, 2)])


class Network(nn.Module):
    def __init__(self, num_classes: int, config: Config | None = None):
        super().__init__()
        self.config = config or Config()
        layers, width = [], 3
        for stage in self.config.stages:
            for i in range(stage.depth):
                stride = stage.stride if i == 0 else 1
                layers += [nn.Conv2d(width, stage.width, 3, stride, 1), nn.BatchNorm2d(stage.width), nn.ReLU()]
                width = stage.width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).amax((2, 3)))
