"""Where the branch of a block meets its shortcut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import libcst as cst

from agents.builtin import syntax

if TYPE_CHECKING:
    from agents.builtin.class_reading import ClassReading

SHORTCUT_NAMES = ("shortcut", "skip", "downsample", "identity", "residual", "proj")
"""Parts of names that shortcuts go by."""


@dataclass(frozen=True)
class ResidualSum:
    """``branch + shortcut``: ``node`` is the addition; of several branches, ``branch`` is the first."""

    node: cst.BinaryOperation
    branch: cst.BaseExpression
    shortcut: cst.BaseExpression


def find_residual_sum(reading: ClassReading) -> ResidualSum | None:
    """The last sum of feature maps in a class's ``forward``, ``None`` where there is none."""
    found = None
    inner: set[cst.CSTNode] = set()
    for node in reading.order:
        if not _is_sum(node) or node in inner:
            continue
        assert isinstance(node, cst.BinaryOperation)
        terms = list(_terms(node))
        inner.update(operand for operand in syntax.walk(node) if operand is not node and _is_sum(operand))
        if all(_is_map(reading, term) for term in terms):
            found = _told_apart(reading, node, terms)
    return found


def _told_apart(reading: ClassReading, node: cst.BinaryOperation, terms: list[cst.BaseExpression]) -> ResidualSum:
    """The shortcut is the term that is called one, else the one that has passed through fewest members."""

    def length(term: cst.BaseExpression) -> tuple[bool, int, int]:
        is_called_so = any(name in syntax.code(term).lower() for name in SHORTCUT_NAMES)
        return (not is_called_so, _depth(reading, term), -terms.index(term))

    shortcut = min(terms, key=length)
    return ResidualSum(node, next(term for term in terms if term is not shortcut), shortcut)


def _is_map(reading: ClassReading, node: cst.BaseExpression) -> bool:
    """Whether a value comes from the input, and is no number."""
    names = (inner for inner in syntax.walk(node) if isinstance(inner, cst.Name))
    return any(n.value == reading.input or reading.definition(n.value, n) is not None for n in names)


def _depth(reading: ClassReading, node: cst.BaseExpression) -> int:
    """How many members a value has passed through since the input."""
    depth = sum(bool(syntax.self_attribute(call.func)) for call in syntax.calls(node))
    names = {inner.value: inner for inner in syntax.walk(node) if isinstance(inner, cst.Name)}
    for name, inner in names.items():
        defined = reading.definition(name, inner)
        depth += 0 if defined is None else _depth(reading, defined)
    return depth


def _is_sum(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Add)


def _terms(node: cst.BaseExpression) -> Iterator[cst.BaseExpression]:
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Add):
        yield from _terms(node.left)
        yield from _terms(node.right)
    else:
        yield node
