"""What tells two architectures apart, and how often a block is repeated (paper §4.4).

Both are read off operator traces, so names, comments, the order of definitions, functional or modular style and
initial values do not count: what is computed from what does.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass

from torch import nn

from tools.jobs.operator_meter import OperatorMeter, Work
from tools.jobs.operator_trace import Call, Node, OperatorTrace, Value, record
from tools.jobs.repeats import count_repeats

MAX_BLOCKS = 400
_MAX_NAME_CHARACTERS = 60
_COMMUTATIVE = {"add.Tensor", "mul.Tensor", "maximum.default", "minimum.default"}
_TWO_TENSORS_ONLY = "[[*,*],{}]"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The architecture in short.

    ``digest``: 16 hexadecimal digits, the same for networks that compute the same operators on the same operands in
    evaluation and in training mode. ``num_repeats``: see :func:`tools.jobs.repeats.count_repeats`. ``blocks``: the
    first 400 module calls in the order they began, as (class name, qualified name, output shape for a batch of two).
    ``works``: what the batch of two took in evaluation and in training mode. ``num_constant_bytes``: of tensors it
    computed with that are neither its own nor made on the way.
    """

    digest: str
    num_repeats: int
    blocks: tuple[tuple[str, str, tuple[int, ...]], ...]
    works: tuple[Work, Work]
    num_constant_bytes: int


def trace(network: nn.Module, image_size: int) -> Fingerprint:
    """Run a network on images of ``image_size`` pixels a side in both modes and sum up what it did.

    The network is left in training mode; what it draws at random comes from torch's generator.
    """
    with OperatorMeter() as evaluation_meter:
        evaluation = record(network, image_size, training=False)
    with OperatorMeter() as training_meter:
        training = record(network, image_size, training=True)
    lines = ["evaluation", *canonical_lines(evaluation), "training", *canonical_lines(training)]
    return Fingerprint(
        digest=hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16],
        num_repeats=count_repeats(evaluation),
        blocks=tuple(_block(call) for call in evaluation.calls[:MAX_BLOCKS]),
        works=(evaluation_meter.work, training_meter.work),
        num_constant_bytes=sum(value.num_bytes for value in evaluation.values if value.is_constant),
    )


def canonical_lines(trace: OperatorTrace) -> list[str]:
    """The part of a trace that the output depends on, one line an operator, in a form free of arbitrary choices.

    Operators come in the order a walk from the output meets them, not in the order they happened to run. Operands
    of sums and products are ordered by what they are made of. Leaves are numbered as they are met, so that a shared
    weight differs from two weights of the same shape.
    """
    order = _canonical_inputs(trace)
    names: dict[int, str] = {}
    counts: defaultdict[str, int] = defaultdict(int)
    lines: list[str] = []
    pending = [trace.output]
    while pending:
        number = pending[-1]
        value = trace.values[number]
        if number in names:
            pending.pop()
        elif value.node < 0:
            names[number] = f"{value.leaf}#{counts[value.leaf]}"
            counts[value.leaf] += 1
            lines.append(f"{names[number]} {value.dtype} {value.shape}")
        elif missing := [operand for operand in order[value.node] if operand not in names]:
            pending.extend(reversed(missing))
        else:
            node = trace.nodes[value.node]
            for position, output in enumerate(node.outputs):
                names[output] = f"%{len(lines)}.{position}"
            results = [(trace.values[output].dtype, trace.values[output].shape) for output in node.outputs]
            operands = [names[operand] for operand in order[value.node]]
            lines.append(f"{node.operator} {node.literals} {operands} {results}")
    return [*lines, f"return {names[trace.output]}"]


def _canonical_inputs(trace: OperatorTrace) -> list[tuple[int, ...]]:
    """The inputs of each node, those of commutative operators sorted by a digest of what they are made of."""
    made_of: list[str] = [_leaf_digest(value) if value.node < 0 else "" for value in trace.values]
    order = []
    for node in trace.nodes:
        inputs = node.inputs
        if node.operator in _COMMUTATIVE and node.literals == _TWO_TENSORS_ONLY:
            inputs = tuple(sorted(inputs, key=lambda number: made_of[number]))
        order.append(inputs)
        digest = _node_digest(node, [made_of[number] for number in inputs])
        for position, output in enumerate(node.outputs):
            made_of[output] = f"{digest}.{position}"
    return order


def _leaf_digest(value: Value) -> str:
    return f"{value.leaf} {value.dtype} {value.shape}"


def _node_digest(node: Node, operands: list[str]) -> str:
    return hashlib.sha256("|".join([node.operator, node.literals, *operands]).encode()).hexdigest()


def _block(call: Call) -> tuple[str, str, tuple[int, ...]]:
    return call.class_name[:_MAX_NAME_CHARACTERS], call.qualified_name[-_MAX_NAME_CHARACTERS:], call.shape
