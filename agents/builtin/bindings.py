"""What the names in a function are bound to, also inside lists, tuples, ``zip`` and ``enumerate``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import libcst as cst

from agents.builtin import syntax

Path = tuple[int | None, ...]
"""A way into nested containers: an index a level, ``None`` for any element."""

Bound = tuple[cst.BaseExpression, Path]
"""An expression, and the way from its value to the bound one."""


class Bindings:
    """The bindings of one function, insensitive to their order: assignments, loops, defaults, globals.

    Attributes of ``self`` count over all methods of the class. ``comprehended`` holds the names that exist only
    inside a comprehension.
    """

    def __init__(self, module: cst.Module, function: cst.FunctionDef, others: Sequence[cst.FunctionDef] = ()) -> None:
        self._bound: dict[str, list[Bound]] = {}
        self.comprehended: set[str] = set()
        for parameter in syntax.parameters(function):
            if parameter.default is not None:
                self._bind(parameter.name, parameter.default, ())
        for node in syntax.walk(function.body):
            self._read(node)
        local = set(self._bound)
        for other in others:
            for node in syntax.walk(other.body):
                self._read(node, attributes_only=True)
        for statement in module.body:
            if isinstance(statement, cst.SimpleStatementLine):
                for node in statement.body:
                    self._read(node, hidden=local | set(syntax.parameter_names(function)))

    def of(self, name: str) -> list[Bound]:
        """What ``name`` (or ``self.name``) is bound to; empty where unknown."""
        return self._bound.get(name, [])

    def into(self, node: cst.BaseExpression, path: Path) -> Iterator[Bound]:
        """One level down: what the element of ``node`` at ``path`` is made of."""
        if isinstance(node, cst.Subscript):
            yield from _subscripted(node, path)
        elif not path:
            return
        elif isinstance(node, cst.List | cst.Tuple):
            yield from ((element.value, path[1:]) for element in _elements(node, path[0]))
        elif isinstance(node, cst.BinaryOperation):
            operands = [node.left, node.right] if isinstance(node.operator, cst.Add) else [node.left]
            yield from ((operand, (None, *path[1:])) for operand in operands)
        elif isinstance(node, cst.ListComp | cst.GeneratorExp):
            yield node.elt, path[1:]
        elif isinstance(node, cst.Call):
            yield from _iterated(node, path)

    def _read(self, node: cst.CSTNode, *, attributes_only: bool = False, hidden: set[str] | None = None) -> None:
        pairs: list[tuple[cst.BaseExpression, cst.BaseExpression, Path]] = []
        if isinstance(node, cst.Assign):
            pairs = [(target.target, node.value, ()) for target in node.targets]
        elif isinstance(node, cst.AnnAssign) and node.value is not None:
            pairs = [(node.target, node.value, ())]
        elif isinstance(node, cst.For | cst.CompFor):
            pairs = [(node.target, node.iter, (None,))]
        for target, value, path in pairs:
            is_name = isinstance(target, cst.Name)
            if is_name and (attributes_only or (hidden is not None and syntax.dotted(target) in hidden)):
                continue
            self._bind(target, value, path)
            if isinstance(node, cst.CompFor):
                self.comprehended.update(n.value for n in syntax.walk(target) if isinstance(n, cst.Name))

    def _bind(self, target: cst.BaseExpression, value: cst.BaseExpression, path: Path) -> None:
        if isinstance(target, cst.Tuple | cst.List):
            for index, element in enumerate(target.elements):
                self._bind(element.value, value, (*path, index))
        elif name := syntax.dotted(target):
            self._bound.setdefault(name, []).append((value, path))


def _elements(node: cst.List | cst.Tuple, index: int | None) -> list[cst.BaseElement]:
    if index is None:
        return list(node.elements)
    return list(node.elements[index : index + 1 or None])


def _subscripted(node: cst.Subscript, path: Path) -> Iterator[Bound]:
    if len(node.slice) != 1:
        return
    part = node.slice[0].slice
    if isinstance(part, cst.Index):
        yield node.value, (syntax.integer(part.value), *path)
    elif path:
        yield node.value, (None, *path[1:])


def _iterated(node: cst.Call, path: Path) -> Iterator[Bound]:
    name = syntax.dotted(node.func)
    arguments = [argument.value for argument in node.args]
    if name == "zip" and len(path) > 1 and path[1] is not None and path[1] < len(arguments):
        yield arguments[path[1]], (path[0], *path[2:])
    elif name == "enumerate" and len(path) > 1 and path[1] == 1 and arguments:
        yield arguments[0], (path[0], *path[2:])
    elif name in ("list", "tuple", "reversed", "sorted") and arguments:
        yield arguments[0], (None, *path[1:])
