"""Accounts for every byte that a training delivers.

The check job reports the layout of the weights. Outside of the candidate's process, this module derives the number of
parameters from it and limits all other tensors. A file of any other size is refused.
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
"""Maximum size of tensors that are not parameters and count like them, for example a 64 × 64 float32 table."""
MAX_TABLE_BYTES = 2**22
"""Maximum size of free tables."""
_FREE_STATISTICS = 1024


class Role(StrEnum):
    """The role of a delivered tensor."""

    PARAMETER = "parameter"
    STATISTIC = "statistic"
    """the running statistics of a normalisation layer"""
    TABLE = "table"
    """a buffer that is equal in every build and not changed by training"""
    INDEX = "index"
    """a buffer of integers that select elements of other tensors, equal in every build with one seed"""
    BUFFER = "buffer"
    """any other buffer; counts like a parameter"""
    COPY = "copy"
    """another tensor under a second name"""


FREE = (Role.TABLE, Role.INDEX)
"""Roles that do not count, since training must deliver the content of a new build."""


def num_params(layout: Layout, roles: Sequence[Role]) -> int:
    """Elements of parameters and of buffers that are not tables; a complex element counts twice."""
    return sum(_num_elements(tensor) for tensor in _of_role(layout, roles, Role.PARAMETER, Role.BUFFER))


def excess(layout: Layout, roles: Sequence[Role]) -> Iterator[Finding]:
    """Find buffers and tables that are too large, and more statistics than norm layers have."""
    yield from find_excess(
        num_weight_bytes(list(_of_role(layout, roles, Role.BUFFER))),
        num_weight_bytes(list(_of_role(layout, roles, *FREE))),
    )
    num_statistics = sum(_num_elements(tensor) for tensor in _of_role(layout, roles, Role.STATISTIC))
    if num_statistics > num_params(layout, roles) + _FREE_STATISTICS:
        yield Finding(
            FailureKind.HIDDEN_WEIGHTS,
            f"normalisation layers hold {num_statistics} statistics, more than the network has parameters",
        )


def find_excess(counted_bytes: int, table_bytes: int) -> Iterator[Finding]:
    """Find too large tensors outside of the parameters.

    Args:
        counted_bytes: size of tensors that count like parameters.
        table_bytes: size of free tables.
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
    """The name of the first table that training changed; empty for none.

    Args:
        raw: weights of the size of the layout.
        digests: positions in the layout, with SHA-256 digests from the check.
    """
    starts = _starts(layout)
    for position, digest in digests:
        if hashlib.sha256(raw[starts[position] : starts[position + 1]]).hexdigest() != digest:
            return layout[position].name
    return ""


def differing_copy(raw: bytes, layout: Layout, copies: Sequence[tuple[int, int]]) -> str:
    """The name of the first copy that differs from its original; empty for none.

    Args:
        raw: weights of the size of the layout.
        copies: positions in the layout, as (copy, original).
    """
    starts = _starts(layout)
    for copy, original in copies:
        if raw[starts[copy] : starts[copy + 1]] != raw[starts[original] : starts[original + 1]]:
            return layout[copy].name
    return ""


def _starts(layout: Layout) -> list[int]:
    """The offset of each tensor, and the total size."""
    return [0, *itertools.accumulate(tensor.num_bytes for tensor in layout)]


def _of_role(layout: Layout, roles: Sequence[Role], *wanted: Role) -> Iterator[WeightTensor]:
    return (tensor for tensor, role in zip(layout, roles, strict=True) if role in wanted)


def _num_elements(tensor: WeightTensor) -> int:
    return prod(tensor.shape) * (2 if tensor.dtype == "complex64" else 1)
