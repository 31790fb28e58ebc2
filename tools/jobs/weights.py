"""Converts trained weights between raw bytes, as a training delivers them, and safetensors files.

Nothing is unpickled, and torch is not needed: the layout that the check job reported must account for every byte.
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
"""Bytes per element of the torch types that weights may have."""


class WeightTensor(NamedTuple):
    """One entry of a state dict, as reported by the check job."""

    name: Annotated[str, StringConstraints(max_length=256)]
    dtype: Annotated[str, StringConstraints(pattern=f"^({'|'.join(ITEM_BYTES)})$")]
    shape: tuple[NonNegativeInt, ...]

    @property
    def num_bytes(self) -> int:
        """Size in bytes."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


Layout = Sequence[WeightTensor]
"""The tensors of a network in the order of its state dict, without gaps."""


def num_weight_bytes(layout: Layout) -> int:
    """The exact size in bytes of the weights."""
    return sum(tensor.num_bytes for tensor in layout)


def to_safetensors(raw: bytes, layout: Layout) -> bytes:
    """The content of a safetensors file that holds the tensors under their names.

    Raises:
        ValueError: ``raw`` is longer or shorter than the layout says, or two tensors have one name.
    """
    if len(raw) != num_weight_bytes(layout):
        raise ValueError(f"expected {num_weight_bytes(layout)} bytes of weights, found {len(raw)}")
    elements = np.frombuffer(raw, np.uint8)  # keeps the memory in place while the pointers below are in use
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
        ValueError: the content is not a safetensors file, or has other tensors than the layout.
    """
    try:
        found = dict(deserialize(content))  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise ValueError(f"expected a safetensors file, found: {error}") from error
    if found.keys() != {tensor.name for tensor in layout}:
        raise ValueError("the weights belong to another network")
    parts = []
    for tensor in layout:
        part = bytes(found[tensor.name]["data"])
        if tuple(found[tensor.name]["shape"]) != tensor.shape or len(part) != tensor.num_bytes:
            raise ValueError(f"the weights belong to another network: {tensor.name} has another shape or type")
        parts.append(part)
    return b"".join(parts)
