"""Multiply-adds of operators in a graph torch has traced, where fvcore has no formula or another one (paper §5).

A formula takes the inputs and outputs of a node and gives a number, as ``FlopCountAnalysis.set_op_handle`` wants it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any


def _attention_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """q·k and attention·v: queries (…, L, E), keys (…, S, E), output (…, L, Ev)."""
    queries, keys, output = _shape(inputs[0]), _shape(inputs[1]), _shape(outputs[0])
    return prod(output[:-1]) * keys[-2] * (queries[-1] + output[-1])


def _product_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """A sum over the last dimension of the left factor for every element of the output."""
    return prod(_shape(outputs[0])) * _shape(inputs[0])[-1]


def _contraction_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """An einsum as torch does it: operand by operand, what one of them alone is summed over first."""
    equation = inputs[0].toIValue().replace(" ", "")
    operands, output = equation.split("->") if "->" in equation else (equation, "")
    shapes = [_shape(value) for value in inputs[1].node().inputs()]
    named = [_labels(labels, len(shape)) for labels, shape in zip(operands.split(","), shapes, strict=True)]
    sizes: dict[str, int] = {}
    for labels, shape in zip(named, shapes, strict=True):
        for label, size in zip(labels, shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    wanted = set(_output_labels(output if "->" in equation else None, named))
    flops, left = 0, set(named[0])
    for number, right in enumerate(named[1:], 1):
        later = wanted.union(*named[number + 1 :])
        right_labels = set(right)
        left = {label for label in left if label in later or label in right_labels}
        both = left | {label for label in right_labels if label in later or label in left}
        if both - later:
            flops += prod(sizes[label] for label in both)
        left = both & later
    return flops


def _labels(labels: str, num_dimensions: int) -> list[str]:
    if "..." not in labels:
        return list(labels)
    before, after = labels.split("...")
    num_hidden = num_dimensions - len(before) - len(after)
    return [*before, *(f"…{number}" for number in range(num_hidden, 0, -1)), *after]


def _output_labels(output: str | None, operands: list[list[str]]) -> list[str]:
    """The labels of the result; without an arrow those that occur once."""
    every = [label for labels in operands for label in labels]
    hidden = [label for label in every if label.startswith("…")]
    if output is None:
        return hidden + [label for label in every if every.count(label) == 1]
    return hidden * ("..." in output) + list(output.replace("...", ""))


def _recurrent_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """Every matrix of an unpacked lstm, gru or rnn, once a step: input (…, features), a list of parameters third."""
    steps = prod(_shape(inputs[0])[:-1])
    parameters = [_shape(value) for value in inputs[2].node().inputs()]
    return steps * sum(prod(shape) for shape in parameters if len(shape) == 2)


def _cell_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """The two matrices of one step: input (B, features), the matrices third and fourth."""
    return _shape(inputs[0])[0] * (prod(_shape(inputs[2])) + prod(_shape(inputs[3])))


def _convolution_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """A convolution whose padding is given by name: every weight, for each place of each output map."""
    output = _shape(outputs[0])
    return output[0] * prod(output[2:]) * prod(_shape(inputs[1]))


def _tensordot_flops(inputs: list[Any], outputs: list[Any]) -> int:
    left = _shape(inputs[0])
    contracted: list[int] = [value.toIValue() for value in inputs[2].node().inputs()]
    return prod(_shape(outputs[0])) * prod([left[dimension] for dimension in contracted])


def _bilinear_flops(inputs: list[Any], outputs: list[Any]) -> int:
    return prod(_shape(inputs[0])[:-1]) * prod(_shape(inputs[2]))


def _shape(value: Any) -> list[int]:
    return list(value.type().sizes())


FORMULAS: Mapping[str, Callable[[list[Any], list[Any]], int]] = {
    "aten::scaled_dot_product_attention": _attention_flops,
    "aten::_convolution_mode": _convolution_flops,
    "aten::tensordot": _tensordot_flops,
    "aten::einsum": _contraction_flops,
    "aten::matmul": _product_flops,
    "aten::mv": _product_flops,
    "aten::dot": _product_flops,
    "aten::vdot": _product_flops,
    "aten::inner": _product_flops,
    # The first input is what is added to the product.
    "aten::addmv": lambda inputs, outputs: _product_flops(inputs[1:], outputs),
    "aten::baddbmm": lambda inputs, outputs: _product_flops(inputs[1:], outputs),
    "aten::addbmm": lambda inputs, outputs: prod(_shape(inputs[1])) * _shape(inputs[2])[-1],
    "aten::bilinear": _bilinear_flops,
    **dict.fromkeys(("aten::lstm", "aten::gru", "aten::rnn_tanh", "aten::rnn_relu"), _recurrent_flops),
    **dict.fromkeys(("aten::lstm_cell", "aten::gru_cell", "aten::rnn_tanh_cell", "aten::rnn_relu_cell"), _cell_flops),
}
"""By operator; those of recurrent layers and products with vectors are there because fvcore leaves them out."""
NO_PRODUCTS = frozenset(
    {
        "adaptive_avg_pool2d",
        "batch_norm",
        "grid_sampler",
        "group_norm",
        "instance_norm",
        "layer_norm",
        "upsample_bilinear2d",
        "upsample_nearest2d",
    }
)
"""What fvcore counts beside products."""
