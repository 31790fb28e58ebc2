"""Trained weights outside of jobs: the raw bytes a training delivers ⇄ the content of a safetensors file.

Nothing here is ever unpickled, and no torch is needed: what the bytes mean is the layout the check job claimed, which
must account for every one of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import NonNegativeInt, StringConstraints
from safetensors import SafetensorError, TensorSpec, deserialize, serialize

ITEM_BYTES: Mapping[str, int] = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "complex64": 8,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}
"""The bytes of an element by the name of its type: those types of torch's that networks are made of."""


class WeightTensor(NamedTuple):
    """One entry of a network's state dict, as the check job claims it."""

    name: Annotated[str, StringConstraints(max_length=256)]
    dtype: Annotated[str, StringConstraints(pattern=f"^({'|'.join(ITEM_BYTES)})$")]
    shape: tuple[NonNegativeInt, ...]

    @property
    def num_bytes(self) -> int:
        """The length of its elements."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


Layout = Sequence[WeightTensor]
"""The tensors of a network in the order of its state dict; nothing lies between them."""


def num_weight_bytes(layout: Layout) -> int:
    """What a training of a network with this layout delivers, to the byte."""
    return sum(tensor.num_bytes for tensor in layout)


def to_safetensors(raw: bytes, layout: Layout) -> bytes:
    """The content of a safetensors file that holds the tensors under their names.

    Raises:
        ValueError: ``raw`` is longer or shorter than the layout says, or two tensors have one name.
    """
    if len(raw) != num_weight_bytes(layout):
        raise ValueError(f"expected {num_weight_bytes(layout)} bytes of weights, found {len(raw)}")
    elements = np.frombuffer(raw, np.uint8)  # keeps its memory in place while the pointers below are in use
    tensors: dict[str, TensorSpec] = {}
    start = elements.ctypes.data
    for tensor in layout:
        if tensor.name in tensors:
            raise ValueError(f"two tensors are named {tensor.name}")
        tensors[tensor.name] = TensorSpec(
            dtype=tensor.dtype, shape=tensor.shape, data_ptr=start, data_len=tensor.num_bytes
        )
        start += tensor.num_bytes
    return bytes(serialize(tensors, {"format": "pt"}))


def from_safetensors(content: bytes, layout: Layout) -> bytes:
    """The inverse of :func:`to_safetensors`.

    Raises:
        ValueError: the content is no safetensors file, or holds other tensors than the layout.
    """
    try:
        found = dict(deserialize(content))  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise ValueError(f"expected a safetensors file, found: {error}") from error
    if found.keys() != {tensor.name for tensor in layout}:
        raise ValueError("the weights are of another network")
    parts = []
    for tensor in layout:
        part = bytes(found[tensor.name]["data"])
        if tuple(found[tensor.name]["shape"]) != tensor.shape or len(part) != tensor.num_bytes:
            raise ValueError(f"the weights are of another network: {tensor.name} has another shape or type")
        parts.append(part)
    return b"".join(parts)
