"""Counts how often a base block, or its equivalent, runs in series (paper §4.4: multi-layer)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from tools.jobs.operator_trace import Call, Node, OperatorTrace

_MATRIX_OPERATORS = {"addmm", "mm", "bmm", "baddbmm", "addbmm", "linear", "addmv", "mv"}


def count_repeats(trace: OperatorTrace) -> int:
    """The length of the longest repetition in series, 1 without repetition.

    A repetition is a chain of calls of one of the candidate's classes, each depending on the previous one. If no class
    has such a chain, it is the repetition of equal layers along the longest path to the output, so that the result does
    not depend on the style of the source. The final linear layer does not count.
    """
    chains = (_longest_chain(trace, calls) for calls in _calls_by_class(trace).values())
    chain = max(chains, default=0)
    return chain if chain > 1 else _num_repetitions(_layers_on_longest_path(trace))


def _calls_by_class(trace: OperatorTrace) -> dict[str, list[Call]]:
    """Calls of own classes with a layer, except those inside a call of the same class."""
    calls: defaultdict[str, list[Call]] = defaultdict(list)
    for call in trace.calls:
        if not call.own or not any(_is_layer(trace, node) for node in trace.nodes[call.start : call.end]):
            continue
        siblings = calls[call.class_name]
        if not siblings or siblings[-1].end <= call.start:
            siblings.append(call)
    return calls


def _longest_chain(trace: OperatorTrace, calls: Sequence[Call]) -> int:
    """The largest number of calls of which each depends on the output of the previous one."""
    made_by = {
        output: index
        for index, call in enumerate(calls)
        for output in call.outputs
        if call.start <= trace.values[output].node < call.end
    }
    # Bit i of a mask: the value depends on the output of call i.
    masks = [0] * len(trace.values)
    for node in trace.nodes:
        mask = _union(masks[number] for number in node.inputs)
        for output in node.outputs:
            masks[output] = mask | (1 << made_by[output] if output in made_by else 0)
    lengths: list[int] = []
    for index, call in enumerate(calls):
        nodes = trace.nodes[call.start : call.end]
        before = _union(masks[number] for node in nodes for number in node.inputs)
        lengths.append(1 + max((lengths[i] for i in range(index) if before >> i & 1), default=0))
    return max(lengths, default=0)


def _union(masks: Iterable[int]) -> int:
    union = 0
    for mask in masks:
        union |= mask
    return union


def _layers_on_longest_path(trace: OperatorTrace) -> list[str]:
    """Kind and kernel of the layers along the path to the output that has most of them."""
    # For each value the length of the longest path and its last layer; ``before`` links layers backwards.
    paths: list[tuple[int, int]] = [(0, -1)] * len(trace.values)
    before: dict[int, int] = {}
    for index, node in enumerate(trace.nodes):
        length, last = max((paths[number] for number in node.inputs), default=(0, -1), key=lambda path: path[0])
        if _is_layer(trace, node):
            before[index] = last
            length, last = length + 1, index
        for output in node.outputs:
            paths[output] = (length, last)
    path = []
    last = paths[trace.output][1]
    while last >= 0:
        path.append(_layer(trace, trace.nodes[last]))
        last = before[last]
    path.reverse()
    return path[:-1] if path and path[-1] == "matrix" else path


def _num_repetitions(layers: Sequence[str]) -> int:
    """The number of repetitions of the run that covers most layers: 3 for ``a b b a b b a b b c``."""
    best = (0, 1)
    for period in range(1, len(layers) // 2 + 1):
        matching = 0
        for position in range(period, len(layers)):
            matching = matching + 1 if layers[position] == layers[position - period] else 0
            times = 1 + matching // period
            if times > 1:
                best = max(best, (times * period, times))
    return best[1]


def _is_layer(trace: OperatorTrace, node: Node) -> bool:
    """Whether the operator is a convolution, matrix product or attention.

    Convolutions of maps pooled to one pixel are excluded, as part of a gate or the head.
    """
    name = _name(node)
    if name == "convolution":
        return set(trace.values[node.outputs[0]].shape[2:]) != {1}
    return name in _MATRIX_OPERATORS or name.startswith("_scaled_dot_product")


def _layer(trace: OperatorTrace, node: Node) -> str:
    if _name(node) != "convolution":
        return "matrix" if _name(node) in _MATRIX_OPERATORS else "attention"
    kernel = trace.values[node.inputs[1]].shape
    grouped = kernel[1] < trace.values[node.inputs[0]].shape[1]
    return f"{'grouped ' if grouped else ''}convolution {kernel[2:]}"


def _name(node: Node) -> str:
    return node.operator.split(".")[0]
