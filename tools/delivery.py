"""What a training may deliver: every byte is a parameter's, or is accounted for otherwise.

The check job claims the layout of the weights; here, where no candidate runs, the number of parameters follows from
it, and what is delivered beside them is held to a limit. A file of any other length is refused.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from enum import StrEnum
from math import prod

from fairnad.records.candidate import FailureKind, Finding
from tools.jobs.weights import Layout, WeightTensor, num_weight_bytes

MAX_HIDDEN_BYTES = 2**14
"""What tensors may hold that count as parameters and are none: a 64 × 64 table of float32, say."""
MAX_TABLE_BYTES = 2**22
"""What free tables may hold."""
_FREE_STATISTICS = 1024


class Role(StrEnum):
    """What a delivered tensor is to its network."""

    PARAMETER = "parameter"
    STATISTIC = "statistic"
    """the running statistics of a normalisation layer"""
    TABLE = "table"
    """a buffer that is the same in every build and is left alone by training"""
    INDEX = "index"
    """a buffer of integers that choose elements of other tensors, the same in every build with one seed"""
    BUFFER = "buffer"
    """any other buffer: it counts as a parameter does"""
    COPY = "copy"
    """one of the others under a second name"""


FREE = (Role.TABLE, Role.INDEX)
"""What counts nothing, as what a training delivers there must be what a build put there."""


def num_params(layout: Layout, roles: Sequence[Role]) -> int:
    """Elements of the parameters and of buffers that are no tables, a complex one as the two numbers it is."""
    return sum(_num_elements(tensor) for tensor in _of_role(layout, roles, Role.PARAMETER, Role.BUFFER))


def excess(layout: Layout, roles: Sequence[Role]) -> Iterator[Finding]:
    """Buffers and tables that hold too much, and more statistics than norm layers have."""
    yield from too_much(
        num_weight_bytes(list(_of_role(layout, roles, Role.BUFFER))),
        num_weight_bytes(list(_of_role(layout, roles, *FREE))),
    )
    num_statistics = sum(_num_elements(tensor) for tensor in _of_role(layout, roles, Role.STATISTIC))
    if num_statistics > num_params(layout, roles) + _FREE_STATISTICS:
        yield Finding(
            FailureKind.HIDDEN_WEIGHTS,
            f"normalisation layers hold {num_statistics} statistics, more than the network has parameters",
        )


def too_much(counted_bytes: int, table_bytes: int) -> Iterator[Finding]:
    """Too much is kept outside of the parameters.

    Args:
        counted_bytes: of tensors that count as parameters and are none.
        table_bytes: of free tables.
    """
    if counted_bytes > MAX_HIDDEN_BYTES:
        yield Finding(
            FailureKind.HIDDEN_WEIGHTS,
            f"buffers and other tensors outside of normalisation layers hold {counted_bytes} bytes, {MAX_HIDDEN_BYTES} "
            "are allowed; make them nn.Parameter(..., requires_grad=False), or compute them without random numbers",
        )
    if table_bytes > MAX_TABLE_BYTES:
        yield Finding(
            FailureKind.HIDDEN_WEIGHTS,
            f"constant tables hold {table_bytes} bytes, {MAX_TABLE_BYTES} are allowed; compute them in forward",
        )


def changed_table(raw: bytes, layout: Layout, digests: Sequence[tuple[int, str]]) -> str:
    """The name of the first table that is delivered with another content than a build gives it; empty for none.

    Args:
        raw: as long as the layout says.
        digests: positions in the layout, with the SHA-256 of what the check saw there.
    """
    starts = _starts(layout)
    for position, digest in digests:
        if hashlib.sha256(raw[starts[position] : starts[position + 1]]).hexdigest() != digest:
            return layout[position].name
    return ""


def differing_copy(raw: bytes, layout: Layout, copies: Sequence[tuple[int, int]]) -> str:
    """The name of the first tensor that is said to be a copy and is delivered as something else; empty for none.

    Args:
        raw: as long as the layout says.
        copies: positions in the layout, of a copy and of what it is a copy of.
    """
    starts = _starts(layout)
    for copy, original in copies:
        if raw[starts[copy] : starts[copy + 1]] != raw[starts[original] : starts[original + 1]]:
            return layout[copy].name
    return ""


def _starts(layout: Layout) -> list[int]:
    """Where each tensor begins, and the end."""
    return [0, *itertools.accumulate(tensor.num_bytes for tensor in layout)]


def _of_role(layout: Layout, roles: Sequence[Role], *wanted: Role) -> Iterator[WeightTensor]:
    return (tensor for tensor, role in zip(layout, roles, strict=True) if role in wanted)


def _num_elements(tensor: WeightTensor) -> int:
    return prod(tensor.shape) * (2 if tensor.dtype == "complex64" else 1)
