"""Counts the work of a network operator by operator while it runs (paper §5).

:mod:`tools.budget_evaluator` counts a traced graph, which hides custom autograd functions and operators without a
formula. This meter sees every operator below autograd, in any mode, at any batch size, also on the meta device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from tools.flop_formulas import COMPLEX_PRODUCT, transform_flops
from tools.jobs.operator_trace import tensors_in


@dataclass(frozen=True, slots=True)
class Work:
    """``products``: multiply-adds of convolutions, matrix products, attention and Fourier transforms.

    ``elements``: elements processed by all other operators, except those that only move data. ``norms``: the part of
    the FLOP count for normalisation and resizing among them.
    """

    products: float = 0
    elements: float = 0
    norms: float = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.products + other.products, self.elements + other.elements, self.norms + other.norms)


class OperatorMeter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sums up the work of the operators that run while it is entered, in ``work``."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.work = Work()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self.work += _work(func, args, kwargs, result)
        return result


def _work(func: Any, args: Any, kwargs: Mapping[str, Any], result: Any) -> Work:
    name = func._schema.name.split("::")[-1]
    if func.is_view or name in _MOVES:
        return Work()
    if name in _TRANSFORMS:
        return Work(_TRANSFORMS[name](args, result))
    if name in _PRODUCTS:
        products = _PRODUCTS[name](args)
    elif name in ("mul", "mul_") and all(isinstance(factor, Tensor) and factor.is_complex() for factor in args[:2]):
        products = result.numel()
    elif func.overloadpacket in flop_registry:
        # Two for each multiply-add.
        products = flop_registry[func.overloadpacket](*args, **kwargs, out_val=result) / 2
    else:
        most = max((tensor.numel() for tensor in tensors_in([args, kwargs, result])), default=0)
        return Work(elements=most * _weight(name, args), norms=_NORMS[name](args, result) if name in _NORMS else 0)
    is_complex = any(tensor.is_complex() for tensor in tensors_in(args))
    return Work(products * (COMPLEX_PRODUCT if is_complex else 1))


_MOVES = frozenset(
    """
    _reshape_alias _to_copy _unsafe_view arange as_strided cat channel_shuffle clone constant_pad_nd contiguous copy
    copy_ detach empty empty_like empty_strided eye fill fill_ flip full full_like gather im2col index index_select
    lift lift_fresh new_empty new_empty_strided new_full new_ones new_zeros ones ones_like pixel_shuffle
    pixel_unshuffle reflection_pad1d reflection_pad2d repeat replication_pad2d roll scalar_tensor select_scatter
    slice_scatter stack take unfold where zero_ zeros zeros_like
    """.split()  # noqa: SIM905
)
"""Operators that create, move or repeat elements without computing."""


def _attention(args: Any) -> int:
    """q·k and attention·v, for queries (…, L, E), keys (…, S, E) and values (…, S, Ev)."""
    shapes: list[list[int]] = [[*factor.shape] for factor in args[:3]]
    queries, keys, values = shapes
    return prod(queries[:-1]) * keys[-2] * (queries[-1] + values[-1])


def _trilinear(args: Any) -> int:
    """The product of the broadcast sizes of three factors, each with dimensions inserted."""
    shapes = []
    for factor, dimensions in zip(args[:3], args[3:6], strict=True):
        shape = [*factor.shape]
        for dimension in sorted(dimensions):
            shape.insert(dimension, 1)
        shapes.append(shape)
    return prod(max(sizes) for sizes in zip(*shapes, strict=True))


_PRODUCTS: Mapping[str, Callable[[Any], float]] = {
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "mv": lambda args: args[0].numel(),
    "addmv": lambda args: args[1].numel(),
    "dot": lambda args: args[0].numel(),
    "vdot": lambda args: args[0].numel(),
    "addbmm": lambda args: args[1].numel() * args[2].shape[-1],
    "_trilinear": _trilinear,
    # Sequence and batch, times the two matrices.
    "mkldnn_rnn_layer": lambda args: prod(args[0].shape[:2]) * (args[1].numel() + args[2].numel()),
}
"""Products without a formula in torch."""


def _transform_flops(tensor: Tensor, dimensions: Sequence[int], *, is_real: bool) -> float:
    return transform_flops(tensor.numel(), prod(tensor.shape[dimension] for dimension in dimensions), is_real=is_real)


_TRANSFORMS: Mapping[str, Callable[[Any, Any], float]] = {
    "_fft_c2c": lambda args, _: _transform_flops(args[0], args[1], is_real=False),
    "_fft_r2c": lambda args, _: _transform_flops(args[0], args[1], is_real=True),
    "_fft_c2r": lambda args, result: _transform_flops(result, args[1], is_real=True),
}


def _norm(args: Any, scale: object) -> float:
    return float(args[0].numel() * (4 if scale is None else 5))


def _batch_norm(args: Any, _: Any) -> float:
    return _norm(args, args[1]) if args[5] else float(args[0].numel() * (1 if args[1] is None else 2))


_NORMS: Mapping[str, Callable[[Any, Any], float]] = {
    "native_batch_norm": _batch_norm,
    "native_layer_norm": lambda args, _: _norm(args, args[2]),
    "native_group_norm": lambda args, _: _norm(args, args[1]),
    "_adaptive_avg_pool2d": lambda args, _: float(args[0].numel()),
    "upsample_nearest2d": lambda _, result: float(result.numel()),
    "upsample_bilinear2d": lambda _, result: 4.0 * result.numel(),
    "grid_sampler_2d": lambda _, result: 4.0 * result.numel(),
}
"""As fvcore counts them."""


def _weight(name: str, args: Any) -> float:
    """Multiply-adds per element."""
    if name in ("_cdist_forward", "_pdist_forward"):
        return float(args[0].shape[-1])
    if name.startswith(("_linalg", "linalg_")) and not name.endswith("norm"):
        return float(max(args[0].shape, default=1))
    return 1.0
