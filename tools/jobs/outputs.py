"""What a network must answer: floating-point logits of the right shape."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fairnad.records.candidate import FailureKind
from tools.jobs.network_source import SourceError


def logits_of(network: nn.Module, images: Tensor, num_classes: int) -> Tensor:
    """The logits of images (N, 3, H, W), of shape (N, num_classes).

    Raises:
        SourceError: it answers something else.
        Exception: whatever the network raises.
    """
    logits = network(images)
    expected = (len(images), num_classes)
    if not isinstance(logits, Tensor):
        hint = "; is a return missing?" if logits is None else ""
        raise _interface(f"the output must be a tensor, found {type(logits).__name__}{hint}")
    if not logits.is_floating_point():
        raise _interface(f"the output must be of a floating-point type, found {logits.dtype}")
    if logits.shape != expected:
        raise _interface(f"the output must have the shape {expected}, found {tuple(logits.shape)}")
    return logits


def finite_logits_of(network: nn.Module, images: Tensor, num_classes: int) -> Tensor:
    """The same.

    Raises:
        SourceError: it answers something else, or a logit is infinite or no number.
        Exception: whatever the network raises.
    """
    logits = logits_of(network, images, num_classes)
    if not torch.isfinite(logits).all():
        mode = "training" if network.training else "evaluation"
        raise SourceError(FailureKind.RUNTIME, f"the output in {mode} mode is not finite")
    return logits


def _interface(message: str) -> SourceError:
    return SourceError(FailureKind.INTERFACE, message)
