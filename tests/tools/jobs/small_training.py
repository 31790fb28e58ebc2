"""A training that takes a moment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from fairnad.domain.recipe import Recipe
from tools.jobs.trainer import TrainRequest

RECIPE = Recipe("test", num_epochs=3, batch_size=16, learning_rate=0.1, warmup_epochs=1, crop_padding=1)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def make_network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 4),
    )


def make_request(num_images: int = 50, **changes: object) -> TrainRequest:
    """Noise whose brightness tells the class."""
    generator = np.random.default_rng(0)
    labels = np.arange(num_images) % 4
    images = generator.integers(0, 64, (num_images, 3, 8, 8)) + 48 * labels[:, None, None, None]
    request = TrainRequest(images.astype(np.uint8), labels, MEAN, STD, RECIPE, seed=1, device="cpu", num_classes=4)
    return replace(request, **changes)
