"""What the nodes of a syntax tree bind to names, call and read: the grammar behind :mod:`tools.jobs.constant_names`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

Access = Literal["item", "each"]
"""How a string is taken out of a container: by index or key, or by iteration."""

_READING_METHODS = frozenset({"get", "index", "items", "keys", "values"})
_READING_FUNCTIONS = frozenset({"len", "range"})
_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)


def opened(node: ast.expr, path: tuple[Access, ...]) -> tuple[Sequence[ast.expr] | None, tuple[Access, ...]]:
    """The expressions one of which another stands for, and the path to follow in them; ``None`` where unknown.

    Args:
        path: how what the node stands for is taken apart, the next access first; empty: it is used as it is.
    """
    match node:
        case ast.IfExp(body=one, orelse=other):
            return [one, other], path
        case ast.BoolOp(values=values):
            return values, path
        case ast.Subscript(value=owner, slice=index):
            is_slice = isinstance(index, ast.Slice)
            return ([owner], path) if is_slice and path else (None if is_slice else [owner], ("item", *path))
        case ast.Starred(value=owner):
            return [owner], ("each", *path)
        case ast.Dict() | ast.Tuple() | ast.List() | ast.Set() if path:
            return _contents(node, path[0]), path[1:]
        case _:
            return None, path


def _contents(node: ast.Dict | ast.Tuple | ast.List | ast.Set, access: Access) -> Sequence[ast.expr] | None:
    """What a display holds; ``None`` where it takes in another container."""
    if isinstance(node, ast.Dict):
        keys = [key for key in node.keys if key is not None]
        return None if len(keys) < len(node.keys) else keys if access == "each" else node.values
    return None if any(isinstance(value, ast.Starred) for value in node.elts) else node.elts


def is_name(node: ast.AST) -> bool:
    """Whether a node is a variable or an attribute."""
    return isinstance(node, ast.Name | ast.Attribute)


def key_of(node: ast.AST) -> str:
    """The name a variable is noted by; an attribute's has a dot in front."""
    return node.id if isinstance(node, ast.Name) else f".{node.attr}" if isinstance(node, ast.Attribute) else ""


def field_name(node: ast.stmt) -> str:
    """The field that a statement of a class's body declares, empty for none."""
    return node.target.id if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else ""


def last_name(node: ast.AST) -> str:
    """The last name of a chain of attributes, empty for what is none."""
    return key_of(node).removeprefix(".")


def called_name(call: ast.Call) -> str:
    """The last name of what is called; that of a call is followed by ``()``, as in ``type()`` for ``type(self)(3)``."""
    function = call.func
    if isinstance(function, ast.Attribute) and function.attr == "__init__":
        owner = function.value
        is_super = isinstance(owner, ast.Call) and last_name(owner.func) == "super"
        return "super().__init__" if is_super else "__init__"
    if isinstance(function, ast.Call):
        return f"{last_name(function.func)}()"
    return "type()" if last_name(function) == "__class__" else last_name(function)


def called_nodes(nodes: Iterable[ast.AST]) -> set[int]:
    """Where a function or class is named without handing it on: calls, bases, annotations, ``super`` and owners."""
    found: set[int] = set()
    for node in nodes:
        places: list[ast.AST | None] = []
        match node:
            case ast.Call(func=ast.Name(id="isinstance" | "issubclass" | "super") as function, args=arguments):
                places = [function, *arguments]
            case ast.Call(func=function):
                places = [function]
            case ast.ClassDef(bases=bases):
                places = [*bases]
            case ast.arg(annotation=annotation) | ast.AnnAssign(annotation=annotation):
                places = [*ast.walk(annotation)] if annotation else []
            case ast.FunctionDef(returns=annotation):
                places = [*ast.walk(annotation)] if annotation else []
            case ast.Attribute(value=owner):
                places = [owner]
        found.update(map(id, filter(None, places)))
    return found


def read_nodes(nodes: Iterable[ast.AST]) -> set[int]:
    """Where a container is read without handing it on."""
    found: set[int] = set()
    for node in nodes:
        match node:
            case ast.Subscript(value=owner, ctx=ast.Load()):
                found.add(id(owner))
            case ast.Attribute(value=owner, attr=name) if name in _READING_METHODS:
                found.add(id(owner))
            case ast.For(iter=owner) | ast.comprehension(iter=owner):
                found.add(id(owner))
            case ast.Compare(comparators=others):
                found.update(map(id, others))
            case ast.Call(func=ast.Name(id=name), args=arguments) if name in _READING_FUNCTIONS:
                found.update(map(id, arguments))
    return found


def bindings(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names with what is bound to them by a statement or a keyword."""
    if isinstance(node, ast.keyword) and node.arg is not None:
        yield node.arg, node.value
        yield f".{node.arg}", node.value
    elif isinstance(node, ast.NamedExpr):
        yield node.target.id, node.value
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _targets(target, node.value)
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        yield from _targets(node.target, node.value)
    elif isinstance(node, ast.For | ast.comprehension):
        yield from _targets(node.target, ast.Starred(node.iter))


def _targets(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name | ast.Attribute):
        yield key_of(target), value
    elif isinstance(target, ast.Tuple | ast.List):
        values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
        is_plain = len(values) == len(target.elts) and not any(isinstance(one, ast.Starred) for one in values)
        for number, element in enumerate(target.elts):
            yield from _targets(element, values[number] if is_plain else ast.Starred(value))


def opaque(node: ast.AST) -> Iterator[str]:
    """Names that a node binds to what is not read here."""
    match node:
        case ast.AugAssign(target=target) | ast.withitem(optional_vars=ast.expr() as target):
            yield from _stored(target)
        case ast.Assign(targets=targets):
            yield from (name for target in targets for name in _inside(target))
        case ast.For(target=target) | ast.AsyncFor(target=target) | ast.comprehension(target=target):
            yield from _inside(target)
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in names)
        case _ if isinstance(node, _NAMED) and node.name is not None:
            yield node.name
        case ast.MatchMapping(rest=str() as name):
            yield name


def _inside(target: ast.AST) -> Iterator[str]:
    """What takes several values at once in a target, or is written to by index."""
    for part in ast.walk(target):
        if isinstance(part, ast.Starred | ast.Subscript):
            yield from _stored(part.value)


def _stored(target: ast.AST) -> Iterator[str]:
    """Every name in a target, and what is indexed there."""
    yield from (key_of(part) for part in ast.walk(target) if is_name(part))


def parameter_names(arguments: ast.arguments) -> list[str]:
    """The names of all parameters."""
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return [one.arg for one in every if one is not None]
