"""The check job: does a source build, run and learn, and what does it cost (paper §4.4, Algorithm 1 line 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairnad.candidate import FailureKind
from tools import budget_evaluator
from tools.jobs import fingerprint, trainer
from tools.jobs.network_source import SourceError, build_network, seed_everything
from tools.jobs.weights import ITEM_BYTES

_BATCH_SIZE = 4


def check(source: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Build the network, run it forward and backward on random images, then count and trace it.

    Args:
        request: ``num_classes``, ``image_size`` (side in pixels) and ``seed``.

    Returns:
        The fields of :class:`fairnad.candidate.CheckReport` but its seconds, and ``weights``, name, type and shape of
        each tensor a training of this source will deliver.

    Raises:
        SourceError: the network's output or its gradients are not what they must be.
        Exception: whatever the candidate raises.
    """
    num_classes, image_size, seed = request["num_classes"], request["image_size"], request["seed"]
    network = build_network(source, num_classes=num_classes, image_size=image_size, seed=seed)
    images = torch.randn(_BATCH_SIZE, 3, image_size, image_size)
    labels = torch.arange(_BATCH_SIZE) % num_classes
    logits = _logits(network.train(), images, num_classes)
    _check_gradients(network, F.cross_entropy(logits, labels))
    with torch.no_grad():
        _logits(network.eval(), images, num_classes)
    seed_everything(seed)
    found = fingerprint.trace(network, image_size)
    return {
        "costs": {
            "params": budget_evaluator.count_params(network),
            "flops": budget_evaluator.count_flops(network, image_size),
        },
        "fingerprint": found.digest,
        "num_repeats": found.num_repeats,
        "num_buffer_elements": budget_evaluator.count_buffers(network),
        "blocks": found.blocks,
        "weights": _layout(network),
    }


def _layout(network: nn.Module) -> list[tuple[str, str, list[int]]]:
    """Name, type and shape of every tensor, as :class:`tools.jobs.weights.WeightTensor` has them."""
    layout = []
    for name, tensor in trainer.weights(network).items():
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype not in ITEM_BYTES:
            raise _interface(f"{name} is of type {dtype}; weights may be of type {', '.join(ITEM_BYTES)}")
        layout.append((name, dtype, list(tensor.shape)))
    return layout


def _logits(network: nn.Module, images: Tensor, num_classes: int) -> Tensor:
    logits = network(images)
    expected = (len(images), num_classes)
    if not isinstance(logits, Tensor):
        hint = "; is a return missing?" if logits is None else ""
        raise _interface(f"the output must be a tensor, found {type(logits).__name__}{hint}")
    if not logits.is_floating_point():
        raise _interface(f"the output must be of a floating-point type, found {logits.dtype}")
    if logits.shape != expected:
        raise _interface(f"the output must have the shape {expected}, found {tuple(logits.shape)}")
    if not torch.isfinite(logits).all():
        mode = "training" if network.training else "evaluation"
        raise SourceError(FailureKind.RUNTIME, f"the output in {mode} mode is not finite")
    return logits


def _check_gradients(network: nn.Module, loss: Tensor) -> None:
    if loss.requires_grad:
        loss.backward()  # type: ignore[no-untyped-call]
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    if not gradients:
        raise SourceError(FailureKind.RUNTIME, "no parameter receives a gradient")
    for name, gradient in gradients.items():
        if not torch.isfinite(gradient).all():
            raise SourceError(FailureKind.RUNTIME, f"the gradient of {name} is not finite")


def _interface(message: str) -> SourceError:
    return SourceError(FailureKind.INTERFACE, message)
