"""PyTorch as sources write it: the parameters of its layers, and what each number among those decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import libcst as cst

from agents.builtin import syntax


class Role(Enum):
    """What a number decides."""

    WIDTH = "width"
    """channels of a feature map, features of a vector"""
    REPEATS = "repeats"
    """how often a block is built"""
    STRIDE = "stride"
    """by how much a resolution falls"""
    KERNEL = "kernel"
    """the side of a kernel"""
    GROUPS = "groups"
    """what a width has to be divisible by: groups and heads"""


CONVOLUTION = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias")
"""The parameters of a convolution, in their order."""

_POOLING = ("pool_size", "stride", "padding")

LAYERS: Mapping[str, tuple[str, ...]] = {
    "Conv1d": CONVOLUTION,
    "Conv2d": CONVOLUTION,
    "Linear": ("in_features", "out_features", "bias"),
    "BatchNorm1d": ("num_features",),
    "BatchNorm2d": ("num_features",),
    "InstanceNorm2d": ("num_features",),
    "GroupNorm": ("num_groups", "num_channels"),
    "LayerNorm": ("normalized_shape",),
    "PReLU": ("num_parameters",),
    "MultiheadAttention": ("embed_dim", "num_heads"),
    "AvgPool2d": _POOLING,
    "MaxPool2d": _POOLING,
}
"""The parameters of PyTorch's layers that take part, in their order."""

_LAYER_ROLES: Mapping[str, Role] = {
    "in_channels": Role.WIDTH,
    "out_channels": Role.WIDTH,
    "in_features": Role.WIDTH,
    "out_features": Role.WIDTH,
    "num_features": Role.WIDTH,
    "num_channels": Role.WIDTH,
    "normalized_shape": Role.WIDTH,
    "num_parameters": Role.WIDTH,
    "embed_dim": Role.WIDTH,
    "kernel_size": Role.KERNEL,
    "stride": Role.STRIDE,
    "pool_size": Role.STRIDE,
    "groups": Role.GROUPS,
    "num_groups": Role.GROUPS,
    "num_heads": Role.GROUPS,
}

_CREATORS = {"ones", "zeros", "full", "empty", "rand", "randn"}

ACTIVATIONS: Mapping[str, str] = {
    "ReLU": "relu",
    "ReLU6": "relu6",
    "GELU": "gelu",
    "SiLU": "silu",
    "Hardswish": "hardswish",
    "Mish": "mish",
    "LeakyReLU": "leaky_relu",
}
"""Activation layers without width, and the functions that do the same."""


@dataclass(frozen=True)
class Signature:
    """Parameters in their order, and the roles of those that have one."""

    names: tuple[str, ...]
    roles: Mapping[str, Role]

    def of_role(self, role: Role) -> tuple[str, ...]:
        """The parameters of one role, in order."""
        return tuple(name for name in self.names if self.roles.get(name) is role)


def layer_name(node: cst.CSTNode) -> str:
    """``Conv2d`` for ``nn.Conv2d``, ``torch.nn.Conv2d`` and ``Conv2d``; ``""`` for what is no such name."""
    front, _, name = syntax.dotted(node).rpartition(".")
    return name if front in ("", "nn", "torch.nn") else ""


def layer_signature(call: cst.Call) -> Signature | None:
    """The signature of a layer of PyTorch; ``None`` for every other call."""
    names = LAYERS.get(layer_name(call.func))
    if names is None:
        return None
    return Signature(names, {name: _LAYER_ROLES[name] for name in names if name in _LAYER_ROLES})


def created_sizes(call: cst.Call) -> list[cst.BaseExpression]:
    """The sizes of a tensor that ``torch.ones`` and its like create; literals say nothing of what they are."""
    front, _, name = syntax.dotted(call.func).rpartition(".")
    if front != "torch" or name not in _CREATORS:
        return []
    given = [argument.value for argument in call.args if argument.keyword is None]
    if given and isinstance(given[0], cst.Tuple):
        given = [element.value for element in given[0].elements]
    return [size for size in given if isinstance(size, cst.Name | cst.BinaryOperation)]
