"""The train and predict jobs (paper §5).

A training reads images and labels of the training split and delivers ``weights.bin``. A prediction runs in a fresh
process, reads these weights and images without labels, and delivers ``logits.bin``. State outside of the weights is
lost in between, and no process that runs the network holds the labels it is scored by.
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

from fairnad.domain.contract import Contract
from fairnad.domain.recipe import Recipe
from fairnad.records.candidate import FailureKind
from tools.jobs import trainer
from tools.jobs.deliveries import deliver, prepared
from tools.jobs.network_source import SourceError, build_network
from tools.jobs.trainer import TrainRequest
from tools.sandbox.job import LOGITS_FILE, WEIGHTS_FILE


def train(source: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Train a source and deliver its weights.

    Args:
        request: ``images`` and ``labels`` (paths of ``.npy`` files), ``mean``, ``std``, ``recipe`` (its fields),
            ``seed``, ``device``, ``num_threads``, ``contract`` and ``snapshots``: names of further weight files, by
            the number of finished epochs.

    Returns:
        ``train_loss``: mean training loss of each epoch.

    Raises:
        SourceError: of kind ``diverged`` if the loss became infinite or NaN, ``hopeless`` if the recipe's rule ended
            the training.
    """
    torch.set_num_threads(request["num_threads"])
    recipe = Recipe(**request["recipe"])
    if recipe.compiled:
        _keep_compiler_here()
    contract = Contract.from_json(request["contract"])
    network = build_network(source, contract, request["seed"])

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
            num_classes=contract.num_classes,
        ),
        keep_snapshot,
    )
    if report.hopeless:
        message = f"the loss did not fall below chance level in {len(report.train_loss)} epochs"
        raise SourceError(FailureKind.HOPELESS, message)
    if report.diverged or not all(map(math.isfinite, report.train_loss)):
        raise SourceError(FailureKind.DIVERGED, f"the loss of epoch {len(report.train_loss) + 1} is not finite")
    deliver(WEIGHTS_FILE, trainer.weights_to_bytes(network))
    return {"train_loss": report.train_loss}


def predict(source: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Classify images with trained weights and deliver the logits, float32 (N, num_classes).

    Args:
        request: as for :func:`train`, with ``batch_size``, and without ``labels``, ``recipe`` and ``snapshots``.
    """
    torch.set_num_threads(request["num_threads"])
    network = build_network(source, Contract.from_json(request["contract"]), request["seed"])
    trainer.load_weights(network, Path(WEIGHTS_FILE).read_bytes())
    logits = trainer.predict(
        network,
        _load(request["images"]),
        tuple(request["mean"]),
        tuple(request["std"]),
        batch_size=request["batch_size"],
        device=request["device"],
    )
    deliver(LOGITS_FILE, logits.astype("<f4").tobytes())
    return {}


def rehearse(source: str, contract: Contract) -> None:
    """Train for one step and predict in this process, in the current folder."""
    np.save("images.npy", np.zeros((4, *contract.input_shape), np.uint8))
    np.save("labels.npy", np.arange(4) % contract.num_classes)
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
        "contract": contract.to_json(),
        "batch_size": 4,
    }
    with prepared([WEIGHTS_FILE, LOGITS_FILE]):
        train(source, request)
        predict(source, request)


def _keep_compiler_here() -> None:
    """Let ``torch.compile`` write below this job's folder and start no processes that outlive a compilation."""
    from torch._inductor import config

    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path.cwd() / "compiled")
    config.compile_threads = 1


def _load(path: str) -> NDArray[Any]:
    # Mapped copy-on-write: jobs share the pages and cannot change the file.
    return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
