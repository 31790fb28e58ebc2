"""The train and predict jobs of one task, as the lab hands them to the sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fairnad.candidate import Step
from fairnad.recipe import Recipe
from tools.datasets.tasks import Task
from tools.sandbox.job import LOGITS_FILE, WEIGHTS_FILE, Job, JobKind, Limits

PREDICT_BATCH_SIZE = 256


@dataclass(frozen=True, slots=True, eq=False)
class TrainingJobs:
    """Makes jobs for one task; ``images`` and ``labels`` are the files of its training split."""

    task: Task
    limits: Limits
    images: Path
    labels: Path

    def train(self, source: str, *, recipe: Recipe, seed: int, device: str, num_weight_bytes: int) -> Job:
        """A training that delivers raw weights."""
        files = {"images": str(self.images), "labels": str(self.labels)}
        return Job(
            kind=JobKind.TRAIN,
            step=Step.TRAIN,
            source=source,
            request=self.network(seed) | files | {"device": device, "recipe": asdict(recipe)},
            limits=self.limits,
            device=device,
            deliveries={WEIGHTS_FILE: num_weight_bytes},
            readable=(self.images, self.labels),
        )

    def predict(
        self,
        source: str,
        weights: bytes,
        images: str,
        num_images: int,
        *,
        seed: int,
        device: str,
        batch_size: int = PREDICT_BATCH_SIZE,
        inputs: Mapping[str, bytes] | None = None,
    ) -> Job:
        """A prediction that delivers logits.

        Args:
            images: path of a file of images, as the job sees it.
            seed: the training's, since what a network draws while it is built is part of it.
            inputs: further files the job finds in its folder.
        """
        request = {"device": device, "images": images, "batch_size": batch_size}
        return Job(
            kind=JobKind.PREDICT,
            step=Step.TRAIN,
            source=source,
            request=self.network(seed) | request,
            limits=self.limits,
            device=device,
            inputs={WEIGHTS_FILE: weights} | dict(inputs or {}),
            deliveries={LOGITS_FILE: num_images * self.task.num_classes * np.dtype("<f4").itemsize},
            readable=() if inputs else (Path(images),),
        )

    def network(self, seed: int) -> dict[str, Any]:
        """What every job is told that builds the network and shows it images."""
        return {
            "num_classes": self.task.num_classes,
            "image_size": self.task.image_size,
            "mean": self.task.mean,
            "std": self.task.std,
            "seed": seed,
        }
