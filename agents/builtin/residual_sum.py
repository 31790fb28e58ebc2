"""Where the branch of a block meets its shortcut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import libcst as cst

from agents.builtin import syntax

Definition = Callable[[str, cst.CSTNode], cst.BaseExpression | None]
"""What a variable was last set to before a node; ``None`` for the input as given."""

SHORTCUT_NAMES = ("shortcut", "skip", "downsample", "identity", "residual", "proj")
"""Parts of names that shortcuts go by."""


@dataclass(frozen=True)
class ResidualSum:
    """``branch + shortcut``: ``node`` is the addition; of several branches, ``branch`` is the first."""

    node: cst.BinaryOperation
    branch: cst.BaseExpression
    shortcut: cst.BaseExpression


def find_residual_sum(nodes: Iterable[cst.CSTNode], input_name: str, definition: Definition) -> ResidualSum | None:
    """The last sum of feature maps in a class's ``forward``, ``None`` where there is none.

    Args:
        nodes: those of ``forward``, in source order.
        input_name: the parameter that holds the feature map.
        definition: finds what a variable was last set to.
    """
    found = None
    inner: set[cst.CSTNode] = set()
    for node in nodes:
        if not _is_sum(node) or node in inner:
            continue
        assert isinstance(node, cst.BinaryOperation)
        terms = list(_terms(node))
        inner.update(operand for operand in syntax.walk(node) if operand is not node and _is_sum(operand))
        if all(_is_map(term, input_name, definition) for term in terms):
            found = _told_apart(node, terms, definition)
    return found


def _told_apart(node: cst.BinaryOperation, terms: list[cst.BaseExpression], definition: Definition) -> ResidualSum:
    """The shortcut is the term that is called one, else the one that has passed through fewest members."""

    def length(term: cst.BaseExpression) -> tuple[bool, int, int]:
        is_called_so = any(name in syntax.code(term).lower() for name in SHORTCUT_NAMES)
        return (not is_called_so, _depth(term, definition), -terms.index(term))

    shortcut = min(terms, key=length)
    return ResidualSum(node, next(term for term in terms if term is not shortcut), shortcut)


def _is_map(node: cst.BaseExpression, input_name: str, definition: Definition) -> bool:
    """Whether a value comes from the input, and is no number."""
    names = (inner for inner in syntax.walk(node) if isinstance(inner, cst.Name))
    return any(n.value == input_name or definition(n.value, n) is not None for n in names)


def _depth(node: cst.BaseExpression, definition: Definition) -> int:
    """How many members a value has passed through since the input."""
    depth = sum(bool(syntax.self_attribute(call.func)) for call in syntax.calls(node))
    names = {inner.value: inner for inner in syntax.walk(node) if isinstance(inner, cst.Name)}
    for name, inner in names.items():
        defined = definition(name, inner)
        depth += 0 if defined is None else _depth(defined, definition)
    return depth


def _is_sum(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Add)


def _terms(node: cst.BaseExpression) -> Iterator[cst.BaseExpression]:
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Add):
        yield from _terms(node.left)
        yield from _terms(node.right)
    else:
        yield node
