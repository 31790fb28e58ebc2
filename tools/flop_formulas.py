"""Multiply-adds of operators in a traced graph that fvcore lacks or counts differently (paper §5).

A formula maps inputs and outputs of a node to a number, as ``FlopCountAnalysis.set_op_handle`` expects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

COMPLEX_PRODUCT = 4
"""Multiply-adds of the product of two complex numbers."""

Formula = Callable[[list[Any], list[Any]], float]


def transform_flops(num_elements: int, length: int, *, is_real: bool) -> float:
    """Multiply-adds of Fourier transforms: 2.5 · log₂ n per element of a transform of length n, half if it is real.

    This is half of the usual 5 n log₂ n additions and products of a fast transform of n complex numbers.

    Args:
        num_elements: of the whole tensor, on the real side if one side is real.
        length: n, over all dimensions of one transform.
    """
    return num_elements * 2.5 * math.log2(max(2, length)) * (0.5 if is_real else 1)


def _attention_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """q·k and attention·v: queries (…, L, E), keys (…, S, E), output (…, L, Ev)."""
    queries, keys, output = _shape(inputs[0]), _shape(inputs[1]), _shape(outputs[0])
    return prod(output[:-1]) * keys[-2] * (queries[-1] + output[-1])


def _product_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """A sum over the last dimension of the left factor for every element of the output."""
    return prod(_shape(outputs[0])) * _shape(inputs[0])[-1]


def _contraction_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """An einsum as torch computes it: operand by operand, after summing labels of a single operand."""
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
        if both - later or any(map(_is_complex, inputs[1].node().inputs())):
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
    """The labels of the result; without an arrow, those that occur once."""
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
    """A convolution with padding by name: every weight, for each position of each output map."""
    output = _shape(outputs[0])
    return output[0] * prod(output[2:]) * prod(_shape(inputs[1]))


def _tensordot_flops(inputs: list[Any], outputs: list[Any]) -> int:
    left = _shape(inputs[0])
    contracted: list[int] = [value.toIValue() for value in inputs[2].node().inputs()]
    return prod(_shape(outputs[0])) * prod([left[dimension] for dimension in contracted])


def _bilinear_flops(inputs: list[Any], outputs: list[Any]) -> int:
    return prod(_shape(inputs[0])[:-1]) * prod(_shape(inputs[2]))


def _elementwise_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """Only complex factors count: fvcore counts no elementwise products."""
    return prod(_shape(outputs[0])) if all(map(_is_complex, inputs[:2])) else 0


def _transform(num_dimensions: int, real_side: str) -> Formula:
    """The formula of a transform.

    Args:
        num_dimensions: number of last dimensions if the call does not name them; 0: all.
        real_side: ``input``, ``output`` or empty.
    """

    def formula(inputs: list[Any], outputs: list[Any]) -> float:
        given, shape = _shape(inputs[0]), _shape(outputs[0])
        sizes, named = _integers(inputs[1]), _integers(inputs[2])
        last_ones = range(-(num_dimensions or len(given if sizes is None else sizes)), 0)
        dimensions = list(last_ones) if named is None else named
        if real_side == "input":
            # The result has half of the last dimension, as the other half is redundant.
            last = dimensions[-1]
            shape[last] = given[last] if shape[last] == given[last] // 2 + 1 else 2 * (shape[last] - 1)
        length = prod(shape[dimension] for dimension in dimensions)
        return transform_flops(prod(shape), length, is_real=bool(real_side))

    return formula


def _integers(value: Any) -> list[Any] | None:
    """A list of integers, or one integer, of a graph; ``None`` if it was omitted."""
    if value.node().kind() == "prim::ListConstruct":
        return [item.toIValue() for item in value.node().inputs()]
    found = value.toIValue()
    return [found] if isinstance(found, int) else found


def complex_as_four(formula: Formula) -> Formula:
    """The formula with four products for each product of complex numbers."""

    def counted(inputs: list[Any], outputs: list[Any]) -> float:
        products = formula(inputs, outputs)
        return products * COMPLEX_PRODUCT if _is_complex(outputs[0]) else products

    return counted


def _is_complex(value: Any) -> bool:
    kind = value.type()
    return kind.kind() == "TensorType" and str(kind.scalarType()).startswith("Complex")


def _shape(value: Any) -> list[int]:
    return list(value.type().sizes())


_PRODUCTS: Mapping[str, Formula] = {
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
    **dict.fromkeys(("aten::mul", "aten::mul_", "aten::multiply", "aten::multiply_"), _elementwise_flops),
}
FORMULAS: Mapping[str, Formula] = {name: complex_as_four(formula) for name, formula in _PRODUCTS.items()} | {
    f"aten::fft_{direction}{kind}fft{suffix}": _transform(num_dimensions, real_side)
    for suffix, num_dimensions in (("", 1), ("2", 2), ("n", 0))
    for direction, kind, real_side in (
        ("", "", ""),
        ("i", "", ""),
        ("", "r", "input"),
        ("i", "r", "output"),
        ("", "h", "output"),
        ("i", "h", "input"),
    )
}
"""Formulas by operator; fvcore lacks recurrent layers, transforms and products with vectors."""
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
"""Operators that fvcore counts besides products."""
