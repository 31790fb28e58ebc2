"""The check job: builds and runs a source, measures its costs and its integrity (paper §4.4, Alg. 1 line 8).

Verdicts share forward passes, and the cheapest come first.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairnad.domain.contract import Contract
from fairnad.records.candidate import FailureKind, Finding, first_fault, plain
from tools import budget_evaluator, delivery
from tools.delivery import Role
from tools.jobs import counting, fingerprint, integrity, shape_trace, tables
from tools.jobs.counting import Batch
from tools.jobs.network_source import (
    SourceError,
    build_network,
    example_inputs,
    finite_outputs_of,
    seed_everything,
)
from tools.jobs.operator_trace import BATCH_SIZE
from tools.jobs.state import buffers_of_norms
from tools.jobs.tables import ExtraTensors
from tools.jobs.weights import ITEM_BYTES

_BATCH_SIZE = 4


def check(source: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Build the network, run it forward and backward on random inputs, then judge, trace and count it.

    Args:
        request: ``contract``, ``seed``, and ``integrity``: ``reject``, ``warn`` or ``off``.

    Returns:
        The fields of :class:`fairnad.records.candidate.CheckReport` except ``seconds``. About the tensors that a
        training of this source delivers: ``weights`` (name, type, shape), ``roles`` (:class:`tools.delivery.Role`),
        ``copies`` (positions of a copy and its original) and ``tables`` (positions with digests). ``num_unregistered``
        counts elements that count as parameters and are not delivered. Only ``findings``, if a fault refuses the
        source before it is run_traced and counted.

    Raises:
        SourceError: the output or the gradients break the contract.
    """
    contract, seed = Contract.from_json(request["contract"]), request["seed"]
    judged = request["integrity"] != "off"
    network = build_network(source, contract, seed)
    findings: list[Finding] = []
    if judged:
        twin = build_network(source, contract, seed)
        findings += integrity.same_builds(network, twin)
    names = list(network.state_dict())
    logits = shape_trace.run_traced(network, lambda: _run(network, contract))
    if judged:
        findings += integrity.weights_beside(network, logits)
        findings += integrity.behaviour(twin, contract, seed)
        findings += integrity.created_late(names, list(network.state_dict()))
    if request["integrity"] == "reject" and first_fault(findings) is not None:
        return {"findings": plain(findings)}
    seed_everything(seed)
    found = fingerprint.trace(network, contract)
    count = counting.count_example(network, contract, seed)
    rebuild = partial(build_network, source, contract, seed + 1)
    extra = tables.examine(network, found.evaluation, found.fixed, rebuild, contract)
    report = {
        "costs": {"params": budget_evaluator.count_params(network) + extra.num_elements, "flops": count.total},
        "fingerprint": found.digest,
        "num_repeats": found.num_repeats,
        "num_buffer_elements": budget_evaluator.count_buffers(network),
        "blocks": found.blocks,
        "num_unregistered": extra.num_unregistered,
        **_layout(network, extra),
    }
    if judged:
        findings += delivery.find_excess(extra.counted_bytes, extra.free_bytes)
        evaluation, training = (Batch(BATCH_SIZE, work) for work in found.works)
        large = counting.count_large_batch(network, contract, seed, training=False)
        large_training = partial(counting.count_large_batch, network, contract, seed, training=True)
        findings += counting.miscounts(count, evaluation, large, training, large_training, contract.num_inputs)
    return report | {"findings": plain(findings)}


def _run(network: nn.Module, contract: Contract) -> Tensor:
    """Forward in both modes and backward in training mode; the logits of training mode."""
    inputs = example_inputs(contract, _BATCH_SIZE)
    labels = torch.arange(_BATCH_SIZE) % contract.num_classes
    logits = finite_outputs_of(network.train(), inputs, contract)
    _check_gradients(network, F.cross_entropy(logits, labels))
    with torch.no_grad():
        finite_outputs_of(network.eval(), inputs, contract)
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


def _layout(network: nn.Module, extra: ExtraTensors) -> dict[str, Any]:
    """Name, type, shape and role of every tensor of the state dict."""
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
            roles.append(extra.roles.get(name, Role.BUFFER))
            if name in extra.digests:
                digests.append((len(weights), extra.digests[name]))
        positions.setdefault(id(tensor), len(weights))
        weights.append((name, dtype, list(tensor.shape)))
    return {"weights": weights, "roles": roles, "copies": copies, "tables": digests}
