"""Fingerprints of architectures (paper §4.4).

They are computed from operator traces, so they depend on what is computed from what, but not on names, comments, order
of definitions, functional or modular style, or initial values.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from fairnad.domain.contract import Contract
from tools.jobs.operator_meter import OperatorMeter, Work
from tools.jobs.operator_trace import Call, Node, OperatorTrace, record
from tools.jobs.repeats import count_repeats

MAX_BLOCKS = 400
_MAX_NAME_CHARACTERS = 60
_COMMUTATIVE = {"add.Tensor", "mul.Tensor", "maximum.default", "minimum.default"}
_TWO_TENSORS_ONLY = "[[*,*],{}]"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A summary of the architecture.

    ``digest``: 16 hexadecimal digits, equal for networks with the same operators on the same operands in both modes.
    ``num_repeats``: see :func:`tools.jobs.repeats.count_repeats`. ``blocks``: the first 400 module calls in the order
    they began, as (class name, qualified name, output shape for a batch of two). ``works``: the work of the batch in
    evaluation and training mode. ``evaluation``: the trace in evaluation mode. ``fixed``: ids of buffers that training
    did not change.
    """

    digest: str
    num_repeats: int
    blocks: tuple[tuple[str, str, tuple[int, ...]], ...]
    works: tuple[Work, Work]
    evaluation: OperatorTrace = field(compare=False, repr=False)
    fixed: frozenset[int] = field(compare=False, repr=False)


def trace(network: nn.Module, contract: Contract) -> Fingerprint:
    """Run a network on two random examples in both modes and summarise its operators.

    Leaves the network in evaluation mode.
    """
    before = [(buffer, buffer.clone()) for buffer in network.buffers()]
    training_meter, evaluation_meter = OperatorMeter(), OperatorMeter()
    training = record(network, contract, training=True, meter=training_meter)
    # Buffers that training does not change are constants, and part of the architecture.
    fixed = frozenset(id(buffer) for buffer, value in before if torch.equal(buffer, value))
    evaluation = record(network, contract, training=False, fixed=fixed, meter=evaluation_meter)
    lines = ["evaluation", *canonical_lines(evaluation), "training", *canonical_lines(training)]
    lines += ["gradient", *training.gradient]
    return Fingerprint(
        digest=hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16],
        num_repeats=count_repeats(evaluation),
        blocks=tuple(_block(call) for call in evaluation.calls[:MAX_BLOCKS]),
        works=(evaluation_meter.work, training_meter.work),
        evaluation=evaluation,
        fixed=fixed,
    )


def canonical_lines(trace: OperatorTrace) -> list[str]:
    """The part of a trace that the output depends on, one line per operator, in canonical form.

    Operators are in the order of a walk from the output. Operands of sums and products are ordered by their origin, and
    equal ones by their other uses. Leaves are numbered on first use, so that a shared weight differs from two weights
    of the same shape.
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
    """The inputs of each node; those of commutative operators sorted by origin and use."""
    leaves = {n: f"{v.leaf} {v.dtype} {v.shape}" for n, v in enumerate(trace.values) if v.node < 0}
    roles = _roles(trace, _made_of(trace, leaves))
    made_of = _made_of(trace, {number: digest + roles[number] for number, digest in leaves.items()})
    return [
        tuple(sorted(node.inputs, key=lambda number: (made_of[number], roles[number])))
        if _is_commutative(node)
        else node.inputs
        for node in trace.nodes
    ]


def _made_of(trace: OperatorTrace, leaves: Mapping[int, str]) -> list[str]:
    """A digest of the origin of each value, computed from the leaves up."""
    made_of = [leaves.get(number, "") for number in range(len(trace.values))]
    for node in trace.nodes:
        operands = [made_of[number] for number in node.inputs]
        digest = _digest(node.operator, node.literals, *(sorted(operands) if _is_commutative(node) else operands))
        for position, output in enumerate(node.outputs):
            made_of[output] = f"{digest}.{position}"
    return made_of


def _roles(trace: OperatorTrace, made_of: Sequence[str]) -> list[str]:
    """A digest of the uses of each value on the way to the output, computed from the output down."""
    uses: list[list[str]] = [[] for _ in trace.values]
    uses[trace.output].append("output")
    for node in reversed(trace.nodes):
        results = [output for output in node.outputs if uses[output]]
        if results:
            role = _digest(*(made_of[result] for result in results), *(_digest(*sorted(uses[r])) for r in results))
            for position, number in enumerate(node.inputs):
                uses[number].append(role if _is_commutative(node) else f"{role}.{position}")
    return [_digest(*sorted(used)) for used in uses]


def _is_commutative(node: Node) -> bool:
    return node.operator in _COMMUTATIVE and node.literals == _TWO_TENSORS_ONLY


def _digest(*parts: str) -> str:
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


def _block(call: Call) -> tuple[str, str, tuple[int, ...]]:
    return call.class_name[:_MAX_NAME_CHARACTERS], call.qualified_name[-_MAX_NAME_CHARACTERS:], call.shape
