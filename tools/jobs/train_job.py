"""The train and predict jobs: the trainer between files (paper §5).

A training reads images and labels of the training split and leaves ``weights.bin``. A prediction runs in a fresh
process, reads those weights and images without labels, and leaves ``logits.bin``: what a network keeps outside of
its weights is lost in between, and no process that runs it ever holds a label it is scored by.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fairnad.domain.recipe import Recipe
from fairnad.records.candidate import FailureKind
from tools.jobs import trainer
from tools.jobs.deliveries import deliver, prepared
from tools.jobs.network_source import SourceError, build_network
from tools.jobs.trainer import PredictRequest, TrainRequest
from tools.sandbox.job import LOGITS_FILE, WEIGHTS_FILE


def train(source: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Train a source and leave its weights.

    Args:
        request: ``images`` and ``labels`` (paths of ``.npy`` files), ``mean``, ``std``, ``recipe`` (its fields),
            ``seed``, ``device``, ``num_threads``, ``num_classes``, ``image_size`` and ``snapshots``: the files that
            weights are left in as well, by the number of finished epochs.

    Returns:
        ``train_loss``: mean training loss of each epoch.

    Raises:
        SourceError: of kind ``diverged`` where the loss did not stay finite, ``hopeless`` where the recipe's rule
            ended the training.
    """
    torch.set_num_threads(request["num_threads"])
    recipe = Recipe(**request["recipe"])
    if recipe.compiled:
        _keep_compiler_here()
    network = _build(source, request)

    def keep_snapshot(num_epochs: int) -> None:
        if name := request["snapshots"].get(str(num_epochs)):
            deliver(name, trainer.weights_to_bytes(network))

    report = trainer.train(
        network,
        TrainRequest(
            images=_load(request["images"]),
            labels=_load(request["labels"]),
            mean=tuple(request["mean"]),
            std=tuple(request["std"]),
            recipe=recipe,
            seed=request["seed"],
            device=request["device"],
            num_classes=request["num_classes"],
        ),
        keep_snapshot,
    )
    if report.hopeless:
        told = f"the loss has not fallen below that of guessing in {len(report.train_loss)} epochs"
        raise SourceError(FailureKind.HOPELESS, told)
    if report.diverged or not all(map(math.isfinite, report.train_loss)):
        raise SourceError(FailureKind.DIVERGED, f"the loss of epoch {len(report.train_loss) + 1} is not finite")
    deliver(WEIGHTS_FILE, trainer.weights_to_bytes(network))
    return {"train_loss": report.train_loss}


def predict(source: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Classify images by a source with trained weights and leave the logits, float32 (N, num_classes).

    Args:
        request: as for :func:`train`, with ``batch_size``, and without ``labels``, ``recipe`` and ``snapshots``.
    """
    torch.set_num_threads(request["num_threads"])
    network = _build(source, request)
    trainer.load_weights(network, Path(WEIGHTS_FILE).read_bytes())
    logits = trainer.predict(
        network,
        PredictRequest(
            images=_load(request["images"]),
            mean=tuple(request["mean"]),
            std=tuple(request["std"]),
            batch_size=request["batch_size"],
            device=request["device"],
        ),
    )
    deliver(LOGITS_FILE, logits.astype("<f4").tobytes())
    return {}


def rehearse(source: str) -> None:
    """Train for one step and predict in this process, in the current folder."""
    size, num_classes = 8, 2
    np.save("images.npy", np.zeros((4, 3, size, size), np.uint8))
    np.save("labels.npy", np.arange(4) % num_classes)
    request = {
        "images": "images.npy",
        "labels": "labels.npy",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "recipe": {"name": "rehearsal", "num_epochs": 1, "batch_size": 4, "learning_rate": 0.1},
        "seed": 0,
        "device": "cpu",
        "num_threads": 1,
        "snapshots": {},
        "num_classes": num_classes,
        "image_size": size,
        "batch_size": 4,
    }
    with prepared([WEIGHTS_FILE, LOGITS_FILE]):
        train(source, request)
        predict(source, request)


def _keep_compiler_here() -> None:
    """Have ``torch.compile`` write below this job's own folder and start no processes that outlive a compilation."""
    from torch._inductor import config

    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path.cwd() / "compiled")
    config.compile_threads = 1


def _build(source: str, request: Mapping[str, Any]) -> nn.Module:
    return build_network(
        source, num_classes=request["num_classes"], image_size=request["image_size"], seed=request["seed"]
    )


def _load(path: str) -> NDArray[Any]:
    # Mapped copy-on-write: every job shares the pages, and none can change the file through them.
    return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
