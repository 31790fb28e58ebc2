"""What a training may deliver: every byte is a parameter's, or is accounted for otherwise.

The check job claims the layout of the weights; here, where no candidate runs, the number of parameters follows from
it, and what is delivered beside them is held to a limit. A file of any other length is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from math import prod

from fairnad.candidate import FailureKind, Finding
from tools.jobs.weights import Layout, WeightTensor, num_weight_bytes

MAX_HIDDEN_BYTES = 2**14
"""What tensors that are neither parameters nor statistics of norm layers may hold: a 64 × 64 table of float32, say."""
_FREE_STATISTICS = 1024


class Role(StrEnum):
    """What a delivered tensor is to its network."""

    PARAMETER = "parameter"
    STATISTIC = "statistic"
    """the running statistics of a normalisation layer"""
    BUFFER = "buffer"
    """any other buffer"""
    COPY = "copy"
    """one of the others under a second name"""


def num_params(layout: Layout, roles: Sequence[Role]) -> int:
    """Elements of the parameters, a complex one as the two numbers it is."""
    return sum(_num_elements(tensor) for tensor in _of_role(layout, roles, Role.PARAMETER))


def excess(layout: Layout, roles: Sequence[Role]) -> Iterator[Finding]:
    """Buffers that hold more than constants need, and more statistics than norm layers have."""
    num_bytes = num_weight_bytes(list(_of_role(layout, roles, Role.BUFFER)))
    if num_bytes > MAX_HIDDEN_BYTES:
        yield hidden(num_bytes)
    num_statistics = sum(_num_elements(tensor) for tensor in _of_role(layout, roles, Role.STATISTIC))
    if num_statistics > num_params(layout, roles) + _FREE_STATISTICS:
        yield Finding(
            FailureKind.HIDDEN_WEIGHTS,
            f"normalisation layers hold {num_statistics} statistics, more than the network has parameters",
        )


def hidden(num_bytes: int) -> Finding:
    """Too much is kept outside of the parameters."""
    return Finding(
        FailureKind.HIDDEN_WEIGHTS,
        f"buffers and other tensors outside of normalisation layers hold {num_bytes} bytes, {MAX_HIDDEN_BYTES} are "
        "allowed; compute constants in forward, or make them nn.Parameter(..., requires_grad=False), which counts",
    )


def differing_copy(raw: bytes, layout: Layout, copies: Sequence[tuple[int, int]]) -> str:
    """The name of the first tensor that is said to be a copy and is delivered as something else; empty for none.

    Args:
        raw: as long as the layout says.
        copies: positions in the layout, of a copy and of what it is a copy of.
    """
    starts = [0]
    for tensor in layout:
        starts.append(starts[-1] + tensor.num_bytes)
    for copy, original in copies:
        if raw[starts[copy] : starts[copy + 1]] != raw[starts[original] : starts[original + 1]]:
            return layout[copy].name
    return ""


def _of_role(layout: Layout, roles: Sequence[Role], wanted: Role) -> Iterator[WeightTensor]:
    return (tensor for tensor, role in zip(layout, roles, strict=True) if role is wanted)


def _num_elements(tensor: WeightTensor) -> int:
    return prod(tensor.shape) * (2 if tensor.dtype == "complex64" else 1)
