"""The train and predict jobs of one task, as the lab hands them to the sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fairnad.domain.recipe import Recipe
from fairnad.records.candidate import Step
from fairnad.settings.search_settings import LabSettings
from tools.datasets.tasks import Task
from tools.sandbox.job import LOGITS_FILE, WEIGHTS_FILE, Job, JobKind, Limits

PREDICT_BATCH_SIZE = 256
_WALL_MULTIPLE = 4
"""How much longer a job may take than the processor time it is allowed: it may share its core, or its GPU."""


def training_limits(settings: LabSettings) -> Limits:
    """What a training or a prediction may take."""
    seconds = settings.train_seconds
    return Limits(_WALL_MULTIPLE * seconds, int(settings.memory), int(settings.output), cpu_seconds=seconds)


def snapshot_names(recipe: Recipe, every: int) -> dict[int, str]:
    """The files of weights that a training leaves before its end, by the number of finished epochs.

    Args:
        every: after so many epochs each; 0: none.
    """
    epochs = range(every, recipe.num_epochs, every) if every else ()
    return {epoch: f"weights-{epoch:05}.bin" for epoch in epochs}


@dataclass(frozen=True, slots=True, eq=False)
class TrainingJobs:
    """Makes jobs for one task; ``images`` and ``labels`` are the files of its training split."""

    task: Task
    limits: Limits
    images: Path
    labels: Path
    num_threads: int = 1

    def train(
        self,
        source: str,
        *,
        recipe: Recipe,
        seed: int,
        device: str,
        num_weight_bytes: int,
        snapshots: Mapping[int, str] | None = None,
    ) -> Job:
        """A training that delivers raw weights, and those of ``snapshots``, see :func:`snapshot_names`."""
        snapshots = snapshots or {}
        files = {"images": str(self.images), "labels": str(self.labels)}
        settled = {"device": device, "num_threads": self.num_threads, "recipe": asdict(recipe)}
        return Job(
            kind=JobKind.TRAIN,
            step=Step.TRAIN,
            source=source,
            request=self.network(seed) | files | settled | {"snapshots": dict(snapshots)},
            limits=self.limits,
            device=device,
            deliveries=dict.fromkeys([WEIGHTS_FILE, *snapshots.values()], num_weight_bytes),
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
        settled = {"device": device, "num_threads": self.num_threads, "batch_size": batch_size}
        return Job(
            kind=JobKind.PREDICT,
            step=Step.TRAIN,
            source=source,
            request=self.network(seed) | settled | {"images": images},
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
