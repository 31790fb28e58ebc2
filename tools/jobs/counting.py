"""Is the reported count of FLOPs all there is? It is held against what the operators do that really run (paper §5).

The report is the traced graph's count of one image in evaluation mode, or the operators' own where torch cannot trace
the network. The operators are counted at two batch sizes
and in both modes, the larger batch on the meta device, where nothing is computed. Work done once for a batch, on the
weights for example, is thus separated from work done for every image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.func import functional_call

from fairnad.records.candidate import FailureKind, Finding
from tools.budget_evaluator import FlopCount, flop_count
from tools.jobs.network_source import seed_everything
from tools.jobs.operator_meter import OperatorMeter, Work

META_BATCH_SIZE = 256
_BATCH_SIZE = 16
"""For networks that do not run on the meta device."""
_TOLERANCE = 0.05
_FREE_ELEMENTS = 64
"""Elements other operators may go through for every element of the image, whatever the count says."""
_NOT_THERE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What networks raise that run, but not under torch's tracing or on the meta device."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The work a batch of ``size`` images took."""

    size: int
    work: Work


def count_image(network: nn.Module, image_size: int, seed: int) -> FlopCount:
    """The FLOPs of one image: by the traced graph, or by the operators that run where only the tracing fails.

    Raises:
        Exception: whatever the network raises where it does not run.
    """
    try:
        return flop_count(network, image_size)
    except _NOT_THERE:
        work = _count(network, 1, image_size, seed, "cpu", training=False).work
        return FlopCount(int(work.products + work.norms), int(work.products))


def count_large_batch(network: nn.Module, image_size: int, seed: int, *, training: bool) -> Batch:
    """The work of a batch as large as those of a training.

    What the network keeps may be left on the meta device.

    Raises:
        Exception: whatever the network raises where it does not run on the meta device.
    """
    try:
        return _count(network, META_BATCH_SIZE, image_size, seed, "meta", training=training)
    except _NOT_THERE:
        return _count(network, _BATCH_SIZE, image_size, seed, "cpu", training=training)


def _count(network: nn.Module, batch_size: int, image_size: int, seed: int, device: str, *, training: bool) -> Batch:
    images = torch.zeros(batch_size, 3, image_size, image_size, device=device)
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
    image_size: int,
) -> Iterator[Finding]:
    """Compare the reported count with the work that was seen.

    Args:
        count: of one image in evaluation mode.
        small: in evaluation mode, of two or more images; ``large``: of more.
        training: in training mode. It may do less, as with layers that are left out at random, never more.
        large_training: the same of a large batch, asked for where the small one did more: what is done to the weights
            once a batch, as by spectral norm, hardly shows there.
        image_size: side in pixels.
    """
    products = _Line.through(small.size, small.work.products, large.size, large.work.products)
    seen = products.at(1)
    if seen > count.products / (1 - _TOLERANCE) + 1:
        yield _finding(
            f"{count.products:,} multiply-adds an image by the traced graph, {seen:,.0f} by the operators that run in "
            "evaluation mode; write products as layers, matmul or einsum, the same for every batch size"
        )
    if _does_more(training, products):
        training = large_training()
    if _does_more(training, products):
        in_training, in_evaluation = training.work.products, products.at(training.size)
        yield _finding(
            f"{in_training / training.size:,.0f} multiply-adds an image in training mode, "
            f"{in_evaluation / training.size:,.0f} in evaluation mode; both must do the same work"
        )
    elements = _Line.through(small.size, small.work.elements, large.size, large.work.elements)
    if elements.at(1) > count.total + _FREE_ELEMENTS * 3 * image_size**2:
        yield _finding(
            f"{count.total:,} multiply-adds an image are counted, and operators without a formula go through "
            f"{elements.at(1):,.0f} elements; write products as layers, matmul or einsum"
        )


def _does_more(batch: Batch, products: _Line) -> bool:
    return batch.work.products > (1 + _TOLERANCE) * products.at(batch.size) + batch.size


def _finding(message: str) -> Finding:
    return Finding(FailureKind.MISCOUNTED, message)


@dataclass(frozen=True, slots=True)
class _Line:
    """Work that grows with the batch: ``fixed`` once, and ``each`` for every image."""

    fixed: float
    each: float

    @classmethod
    def through(cls, few: int, work_of_few: float, many: int, work_of_many: float) -> _Line:
        each = (work_of_many - work_of_few) / (many - few)
        return cls(max(work_of_few - few * each, 0.0), each)

    def at(self, batch_size: int) -> float:
        return self.fixed + batch_size * self.each
