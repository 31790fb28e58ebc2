"""Makes train and predict jobs of one task for the sandbox."""

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
from tools.sandbox.job import LOGITS_FILE, OUTPUT_BYTES, WEIGHTS_FILE, Job, JobKind, Limits

PREDICT_BATCH_SIZE = 256
_WALL_MULTIPLE = 4
"""Wall-clock limit as a multiple of the processor time limit, as jobs may share a core or GPU."""


def training_limits(settings: LabSettings) -> Limits:
    """The limits of a training or prediction."""
    seconds = settings.train_seconds
    return Limits(_WALL_MULTIPLE * seconds, int(settings.memory), OUTPUT_BYTES, cpu_seconds=seconds)


def snapshot_names(recipe: Recipe, every: int) -> dict[int, str]:
    """The weight files that a training writes every ``every`` epochs before its end, by number of epochs; 0: none."""
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
        """A training that delivers raw weights, and snapshots of them, see :func:`snapshot_names`."""
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
            seed: of the training, as random numbers of the build are part of the network.
            inputs: further files in the job's folder.
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
            deliveries={LOGITS_FILE: num_images * self.task.contract.num_outputs * np.dtype("<f4").itemsize},
            readable=() if inputs else (Path(images),),
        )

    def network(self, seed: int) -> dict[str, Any]:
        """The part of a request that describes network and images."""
        return {
            "contract": self.task.contract.to_json(),
            "mean": self.task.mean,
            "std": self.task.std,
            "seed": seed,
        }
