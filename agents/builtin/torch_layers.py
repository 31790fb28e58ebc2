"""Names and signatures of PyTorch's layers and functions, and what each number in a call decides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import libcst as cst

from agents.builtin import syntax


class SizeUse(Enum):
    """The use of a number in a source."""

    WIDTH = "width"
    """Channels of a feature map, features of a vector."""
    REPEATS = "repeats"
    """How often a block is built."""
    STRIDE = "stride"
    """The factor by which a resolution falls."""
    KERNEL = "kernel"
    """The side of a kernel."""
    GROUPS = "groups"
    """What a width has to be divisible by: groups and heads."""


CONVOLUTION = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias")
"""The parameters of a convolution, in order."""

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
    "AvgPool2d": ("pool_size", "stride", "padding"),
    "MaxPool2d": ("pool_size", "stride", "padding"),
}
"""The parameters of the layers whose sizes are read, in order."""

_PARAMETERS: Mapping[SizeUse, str] = {
    SizeUse.WIDTH: "in_channels out_channels in_features out_features num_features num_channels normalized_shape "
    "num_parameters embed_dim",
    SizeUse.KERNEL: "kernel_size",
    SizeUse.STRIDE: "stride pool_size",
    SizeUse.GROUPS: "groups num_groups num_heads",
}
_USES = {name: use for use, names in _PARAMETERS.items() for name in names.split()}

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
"""Activation layers without a width, and the functions that do the same."""

ACTIVATION_FUNCTIONS = {f"{front}.{name}" for name in ACTIVATIONS.values() for front in ("F", "torch")}

LAYER_NAMES = frozenset(
    re.findall(
        r"\w+",
        """
    AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveMaxPool2d AvgPool1d AvgPool2d BatchNorm1d BatchNorm2d ChannelShuffle
    Conv1d Conv2d ConvTranspose2d Dropout Dropout2d ELU Embedding Flatten GELU GLU GroupNorm Hardsigmoid Hardswish
    Identity InstanceNorm2d LayerNorm LeakyReLU Linear MaxPool2d Mish Module ModuleDict ModuleList
    MultiheadAttention PReLU Parameter ParameterList PixelShuffle PixelUnshuffle ReLU ReLU6 SELU Sequential SiLU
    Sigmoid Softmax Softplus Tanh TransformerEncoder TransformerEncoderLayer Unfold Upsample ZeroPad2d
    """,
    )
)
"""Classes of ``torch.nn``."""

FUNCTION_NAMES = frozenset(
    re.findall(
        r"\w+",
        """
    adaptive_avg_pool2d adaptive_max_pool2d avg_pool2d conv2d dropout elu gelu group_norm hardsigmoid hardswish
    interpolate layer_norm leaky_relu linear max_pool2d mish normalize pad pixel_shuffle pixel_unshuffle relu relu6
    scaled_dot_product_attention selu silu softmax softplus unfold
    """,
    )
)
"""Functions of ``torch.nn.functional``."""

_FULL_NAMES = {
    "swish": "nn.SiLU",
    **{name.lower(): f"F.{name}" for name in FUNCTION_NAMES if "_" in name},
    **{name.lower(): f"nn.{name}" for name in LAYER_NAMES},
}


@dataclass(frozen=True)
class Signature:
    """Parameters in their order, and the uses that are known."""

    names: tuple[str, ...]
    uses: Mapping[str, SizeUse]

    def of_use(self, use: SizeUse) -> tuple[str, ...]:
        """The parameters of one use, in order."""
        return tuple(name for name in self.names if self.uses.get(name) is use)


def torch_name(name: str) -> str:
    """The correct spelling of a misspelt name, with its module: ``nn.ReLU`` for ``Relu``; ``""`` if unknown.

    A lower-case name is a function if one of that name exists.
    """
    return f"F.{name}" if name in FUNCTION_NAMES else _FULL_NAMES.get(name.lower(), "")


def layer_name(node: cst.CSTNode) -> str:
    """``Conv2d`` for ``nn.Conv2d``, ``torch.nn.Conv2d`` and ``Conv2d``; ``""`` for other expressions."""
    front, _, name = syntax.dotted(node).rpartition(".")
    return name if front in ("", "nn", "torch.nn") else ""


def layer_signature(call: cst.Call) -> Signature | None:
    """The signature of a layer of PyTorch; ``None`` for every other call."""
    names = LAYERS.get(layer_name(call.func))
    return None if names is None else Signature(names, {name: _USES[name] for name in names if name in _USES})


def layer_arguments(call: cst.Call, layer: str) -> dict[str, cst.BaseExpression]:
    """The arguments of a layer by parameter; empty if ``call`` builds something else."""
    if layer_name(call.func) != layer:
        return {}
    return {name: argument.value for name, argument in syntax.arguments(call, LAYERS[layer]).items()}


def created_sizes(call: cst.Call) -> list[cst.BaseExpression]:
    """The sizes of a tensor that ``torch.ones`` and the like create, without literals, whose use is unknown."""
    front, _, name = syntax.dotted(call.func).rpartition(".")
    if front != "torch" or name not in _CREATORS:
        return []
    given = [argument.value for argument in call.args if argument.keyword is None]
    if given and isinstance(given[0], cst.Tuple):
        given = [element.value for element in given[0].elements]
    return [size for size in given if isinstance(size, cst.Name | cst.BinaryOperation)]
