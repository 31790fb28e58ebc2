"""A task of four classes that a network learns in a second, and sources that misbehave in its jobs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fairnad.domain.recipe import Recipe
from fairnad.domain.task import TaskReport
from fairnad.settings.search_settings import LabSettings
from tools.datasets.tasks import Split, Task

RECIPE = Recipe("test", num_epochs=3, batch_size=16, learning_rate=0.1, flip_probability=0.0, crop_padding=0)
SETTINGS = LabSettings(
    slots=2, device="cpu", train_seconds=5, check_seconds=20, memory=1e9, isolation="E", source_policy=False
)
"""Without a jail: these sources misbehave, and what must hold then is what the lab does with them."""

NETWORK = """
import os
import torch
import torch.nn as nn

class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8 * 16, num_classes)
        self.num_steps = 0

    def forward(self, x):
        self.num_steps += self.training
        late = self.num_steps > 4
        big = not self.training and len(x) > 40 and x.device.type == "cpu"
        x = torch.relu(self.norm(self.conv(x)))
        return self.head(nn.functional.avg_pool2d(x, 2).flatten(1))
"""
LATE = "        x = torch.relu"
"""Where a source can misbehave once it has passed its check: late in the training, or on a big batch to predict."""


def misbehaving(when: str, how: str) -> str:
    return NETWORK.replace(LATE, f"        if {when}:\n            {how}\n{LATE}")


def make_split(num_images: int, seed: int) -> Split:
    """Noise with one of four quadrants brightened, which is the label."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(4, size=num_images)
    images = generator.integers(120, size=(num_images, 3, 8, 8), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[:, row : row + 4, column : column + 4] += 60
    return Split(images, labels)


def make_task(load_held_out: Callable[[], Split]) -> Task:
    return Task(
        name="quadrants",
        num_classes=4,
        image_size=8,
        mean=(0.3, 0.3, 0.3),
        std=(0.2, 0.2, 0.2),
        flip_probability=0.0,
        crop_padding=0,
        digest="quadrants",
        class_names=("a", "b", "c", "d"),
        train=make_split(64, 0),
        validation=make_split(50, 1),
        report=TaskReport("quadrants", "", 8, 64, 50, None, dict.fromkeys("abcd", 16), {}, {}, ()),
        _load_held_out=load_held_out,
    )


FORGE = """
            import json, numpy
            num_images = len(numpy.load(json.load(open('request.json'))['images'], mmap_mode='r'))
            logits = torch.tensor([1.0, 0, 0, 0]).repeat(num_images, 1)
            open('logits.bin', 'wb').write(logits.numpy().tobytes())
            open('report.json', 'w').write('{"result": {}}')
            os._exit(0)"""


BIG_BATCH = "not self.training and len(x) > 40 and x.device.type == 'cpu'"
