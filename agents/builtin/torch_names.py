"""What PyTorch calls its layers and functions, for sources that write them otherwise."""

from __future__ import annotations

LAYER_NAMES = frozenset(
    [
        "AdaptiveAvgPool1d",
        "AdaptiveAvgPool2d",
        "AdaptiveMaxPool2d",
        "AvgPool1d",
        "AvgPool2d",
        "BatchNorm1d",
        "BatchNorm2d",
        "ChannelShuffle",
        "Conv1d",
        "Conv2d",
        "ConvTranspose2d",
        "Dropout",
        "Dropout2d",
        "ELU",
        "Embedding",
        "Flatten",
        "GELU",
        "GLU",
        "GroupNorm",
        "Hardsigmoid",
        "Hardswish",
        "Identity",
        "InstanceNorm2d",
        "LayerNorm",
        "LeakyReLU",
        "Linear",
        "MaxPool2d",
        "Mish",
        "Module",
        "ModuleDict",
        "ModuleList",
        "MultiheadAttention",
        "PReLU",
        "Parameter",
        "ParameterList",
        "PixelShuffle",
        "PixelUnshuffle",
        "ReLU",
        "ReLU6",
        "SELU",
        "Sequential",
        "SiLU",
        "Sigmoid",
        "Softmax",
        "Softplus",
        "Tanh",
        "TransformerEncoder",
        "TransformerEncoderLayer",
        "Unfold",
        "Upsample",
        "ZeroPad2d",
    ]
)
"""Classes of ``torch.nn``."""

FUNCTION_NAMES = frozenset(
    [
        "adaptive_avg_pool2d",
        "adaptive_max_pool2d",
        "avg_pool2d",
        "conv2d",
        "dropout",
        "elu",
        "gelu",
        "group_norm",
        "hardsigmoid",
        "hardswish",
        "interpolate",
        "layer_norm",
        "leaky_relu",
        "linear",
        "max_pool2d",
        "mish",
        "normalize",
        "pad",
        "pixel_shuffle",
        "pixel_unshuffle",
        "relu",
        "relu6",
        "scaled_dot_product_attention",
        "selu",
        "silu",
        "softmax",
        "softplus",
        "unfold",
    ]
)
"""Functions of ``torch.nn.functional``."""

_WRITTEN = {
    "swish": "nn.SiLU",
    **{name.lower(): f"F.{name}" for name in FUNCTION_NAMES if "_" in name},
    **{name.lower(): f"nn.{name}" for name in LAYER_NAMES},
}


def torch_name(name: str) -> str:
    """What a name was meant to be, with its module: ``nn.ReLU`` for ``Relu``; empty where it could be several.

    A name in lower case is a function, where there is one of that name.
    """
    if name in FUNCTION_NAMES:
        return f"F.{name}"
    return _WRITTEN.get(name.lower(), "")
