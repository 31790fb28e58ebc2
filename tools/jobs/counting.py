"""Compares the reported FLOPs with the work of the operators that actually run (paper §5).

The report is the traced graph's count of one example in evaluation mode, or the operators' count if torch cannot trace
the network. Operators are counted at two batch sizes and in both modes, the larger batch on the meta device,
where nothing is computed. This separates work per batch, for example on weights, from work per example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.func import functional_call

from fairnad.domain.contract import Contract
from fairnad.records.candidate import FailureKind, Finding
from tools.budget_evaluator import FlopCount, flop_count
from tools.jobs.network_source import example_inputs, seed_everything
from tools.jobs.operator_meter import OperatorMeter, Work

META_BATCH_SIZE = 256
_BATCH_SIZE = 16
"""For networks that do not run on the meta device."""
_TOLERANCE = 0.05
_FREE_ELEMENTS = 64
"""Elements that other operators may process per input element, in addition to the count."""
_UNSUPPORTED = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""Raised by networks that run, but not under torch's tracing or on the meta device."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The work of a batch of ``size`` examples."""

    size: int
    work: Work


def count_example(network: nn.Module, contract: Contract, seed: int) -> FlopCount:
    """The FLOPs of one example, from the traced graph, or from the operators if only the tracing fails."""
    try:
        return flop_count(network, example_inputs(contract, 1, "zeros"))
    except _UNSUPPORTED:
        work = _count(network, 1, contract, seed, "cpu", training=False).work
        return FlopCount(int(work.products + work.norms), int(work.products))


def count_large_batch(network: nn.Module, contract: Contract, seed: int, *, training: bool) -> Batch:
    """The work of a batch as large as in a training. Tensors that the network keeps may end on the meta device."""
    try:
        return _count(network, META_BATCH_SIZE, contract, seed, "meta", training=training)
    except _UNSUPPORTED:
        return _count(network, _BATCH_SIZE, contract, seed, "cpu", training=training)


def _count(network: nn.Module, batch_size: int, contract: Contract, seed: int, device: str, *, training: bool) -> Batch:
    images = example_inputs(contract, batch_size, "zeros", device)
    registered = [*network.named_parameters(), *network.named_buffers()]
    state = {name: tensor.detach().to(device) for name, tensor in registered}
    seed_everything(seed)
    with torch.no_grad(), OperatorMeter() as meter:
        functional_call(network.train(training), state, (images,))
    return Batch(batch_size, meter.work)


def miscounts(
    count: FlopCount,
    small: Batch,
    large: Batch,
    training: Batch,
    large_training: Callable[[], Batch],
    num_inputs: int,
) -> Iterator[Finding]:
    """Compare the reported count with the observed work.

    Args:
        count: of one example in evaluation mode.
        small: in evaluation mode, of two or more examples; ``large``: of more.
        training: in training mode. Less work is accepted, as with stochastic depth, more is not.
        large_training: of a large batch, called if the small one did more work: in a large batch, work on the weights
            once per batch, as by spectral norm, is negligible.
        num_inputs: input elements of one example.
    """
    products = _Line.through(small.size, small.work.products, large.size, large.work.products)
    seen = products.at(1)
    if seen > count.products / (1 - _TOLERANCE) + 1:
        yield _finding(
            f"{count.products:,} multiply-adds per image by the traced graph, {seen:,.0f} by the operators that run in "
            "evaluation mode; write products as layers, matmul or einsum, the same for every batch size"
        )
    if _does_more(training, products):
        training = large_training()
    if _does_more(training, products):
        in_training, in_evaluation = training.work.products, products.at(training.size)
        yield _finding(
            f"{in_training / training.size:,.0f} multiply-adds per image in training mode, "
            f"{in_evaluation / training.size:,.0f} in evaluation mode; both must do the same work"
        )
    elements = _Line.through(small.size, small.work.elements, large.size, large.work.elements)
    if elements.at(1) > count.total + _FREE_ELEMENTS * num_inputs:
        yield _finding(
            f"{count.total:,} multiply-adds per image are counted, and operators without a formula process "
            f"{elements.at(1):,.0f} elements; write products as layers, matmul or einsum"
        )


def _does_more(batch: Batch, products: _Line) -> bool:
    return batch.work.products > (1 + _TOLERANCE) * products.at(batch.size) + batch.size


def _finding(message: str) -> Finding:
    return Finding(FailureKind.MISCOUNTED, message)


@dataclass(frozen=True, slots=True)
class _Line:
    """Work as a function of the batch size: ``fixed`` per batch, and ``each`` per example."""

    fixed: float
    each: float

    @classmethod
    def through(cls, few: int, work_of_few: float, many: int, work_of_many: float) -> _Line:
        each = (work_of_many - work_of_few) / (many - few)
        return cls(max(work_of_few - few * each, 0.0), each)

    def at(self, batch_size: int) -> float:
        return self.fixed + batch_size * self.each
