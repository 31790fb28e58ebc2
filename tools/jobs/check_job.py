"""The check job: does a source build, run and learn, what does it cost, and is it honest (paper §4.4, Alg. 1 line 8).

Forward passes are shared between the verdicts, and what refuses a source most cheaply comes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairnad.records.candidate import FailureKind, Finding, first_fault, plain
from tools import budget_evaluator, delivery
from tools.delivery import Role
from tools.jobs import counting, fingerprint, integrity, shape_trace, tables
from tools.jobs.counting import Batch
from tools.jobs.network_source import SourceError, build_network, seed_everything
from tools.jobs.operator_trace import BATCH_SIZE
from tools.jobs.outputs import finite_logits_of
from tools.jobs.state import buffers_of_norms
from tools.jobs.tables import Beside
from tools.jobs.weights import ITEM_BYTES

_BATCH_SIZE = 4


def check(source: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Build the network, run it forward and backward on random images, then judge, trace and count it.

    Args:
        request: ``num_classes``, ``image_size`` (side in pixels), ``seed``, and ``integrity``: ``reject``, ``warn`` or
            ``off``.

    Returns:
        The fields of :class:`fairnad.records.candidate.CheckReport` but its seconds, and of every tensor a training
        of this source will deliver ``weights``, name, type and shape, ``roles`` (:class:`tools.delivery.Role`), and
        ``copies``: the positions of a copy and of what it is a copy of, and ``tables``: the positions of tables with a
        digest of their content. ``num_unregistered`` counts elements that are parameters in all but name and are not
        delivered. Where a fault refuses the source before it
        was traced and counted, ``findings`` alone.

    Raises:
        SourceError: the network's output or its gradients are not what they must be.
        Exception: whatever the candidate raises.
    """
    size, seed, judged = request["image_size"], request["seed"], request["integrity"] != "off"
    network = _build(source, request)
    findings: list[Finding] = []
    if judged:
        twin = _build(source, request)
        findings += integrity.same_builds(network, twin)
    names = list(network.state_dict())
    logits = shape_trace.traced(network, lambda: _run(network, size, request["num_classes"]))
    if judged:
        findings += integrity.weights_beside(network, logits)
        images = torch.randn(integrity.NUM_IMAGES, 3, size, size)
        findings += integrity.behaviour(twin, images, request["num_classes"], seed)
        findings += integrity.created_late(names, list(network.state_dict()))
    if request["integrity"] == "reject" and first_fault(findings) is not None:
        return {"findings": plain(findings)}
    seed_everything(seed)
    found = fingerprint.trace(network, size)
    count = counting.count_image(network, size, seed)
    rebuild = partial(_build, source, {**request, "seed": seed + 1})
    beside = tables.examine(network, found.evaluation, found.fixed, rebuild, size)
    report = {
        "costs": {"params": budget_evaluator.count_params(network) + beside.num_elements, "flops": count.total},
        "fingerprint": found.digest,
        "num_repeats": found.num_repeats,
        "num_buffer_elements": budget_evaluator.count_buffers(network),
        "blocks": found.blocks,
        "num_unregistered": beside.num_unregistered,
        **_layout(network, beside),
    }
    if judged:
        findings += delivery.too_much(beside.counted_bytes, beside.free_bytes)
        evaluation, training = (Batch(BATCH_SIZE, work) for work in found.works)
        large = counting.count_large_batch(network, size, seed, training=False)
        large_training = partial(counting.count_large_batch, network, size, seed, training=True)
        findings += counting.miscounts(count, evaluation, large, training, large_training, size)
    return report | {"findings": plain(findings)}


def _build(source: str, request: Mapping[str, Any]) -> nn.Module:
    return build_network(
        source, num_classes=request["num_classes"], image_size=request["image_size"], seed=request["seed"]
    )


def _run(network: nn.Module, image_size: int, num_classes: int) -> Tensor:
    """Forward in both modes and backward in training mode; the logits of training mode."""
    images = torch.randn(_BATCH_SIZE, 3, image_size, image_size)
    labels = torch.arange(_BATCH_SIZE) % num_classes
    logits = finite_logits_of(network.train(), images, num_classes)
    _check_gradients(network, F.cross_entropy(logits, labels))
    with torch.no_grad():
        finite_logits_of(network.eval(), images, num_classes)
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


def _layout(network: nn.Module, beside: Beside) -> dict[str, Any]:
    """Name, type and shape of every tensor, as :class:`tools.jobs.weights.WeightTensor` has them, and its role."""
    statistics = buffers_of_norms(network)
    parameters = {id(parameter) for parameter in network.parameters()}
    weights: list[tuple[str, str, list[int]]] = []
    roles: list[Role] = []
    copies: list[tuple[int, int]] = []
    digests: list[tuple[int, str]] = []
    positions: dict[int, int] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        if not isinstance(tensor, Tensor):
            continue
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype not in ITEM_BYTES:
            message = f"{name} is of type {dtype}; weights may be of type {', '.join(ITEM_BYTES)}"
            raise SourceError(FailureKind.INTERFACE, message)
        if id(tensor) in positions:
            copies.append((len(weights), positions[id(tensor)]))
            roles.append(Role.COPY)
        elif id(tensor) in parameters:
            roles.append(Role.PARAMETER)
        elif id(tensor) in statistics:
            roles.append(Role.STATISTIC)
        else:
            roles.append(beside.roles.get(name, Role.BUFFER))
            if name in beside.digests:
                digests.append((len(weights), beside.digests[name]))
        positions.setdefault(id(tensor), len(weights))
        weights.append((name, dtype, list(tensor.shape)))
    return {"weights": weights, "roles": roles, "copies": copies, "tables": digests}
