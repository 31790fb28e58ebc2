"""Source code as libcst trees: finding, reading, building and replacing nodes."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache, lru_cache
from textwrap import dedent
from typing import TypeVar, cast

import libcst as cst

Tree = TypeVar("Tree", bound=cst.CSTNode)
Item = TypeVar("Item")

_LAYOUT = {"leading_lines", "lines_after_decorators", "lpar", "rpar", "comma", "header", "footer", "semicolon", "equal"}

_EQUAL = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
COMMA = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
"""The comma between arguments on one line."""

Edits = Mapping[cst.CSTNode, cst.CSTNode | cst.FlattenSentinel[cst.CSTNode] | cst.RemovalSentinel]
"""Nodes of one tree, by identity, with their replacements."""


@cache
def _field_names(kind: type[cst.CSTNode]) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind) if "whitespace" not in f.name and f.name not in _LAYOUT)


@lru_cache(maxsize=1 << 15)
def _children(node: cst.CSTNode) -> tuple[cst.CSTNode, ...]:
    found: list[cst.CSTNode] = []
    for name in _field_names(type(node)):
        value = getattr(node, name)
        if isinstance(value, list | tuple):
            found.extend(item for item in value if isinstance(item, cst.CSTNode))
        elif isinstance(value, cst.CSTNode):
            found.append(value)
    return tuple(found)


def walk(root: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """``root`` and every node below it in source order, without whitespace and punctuation."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(_children(node)))


def calls(root: cst.CSTNode) -> Iterator[cst.Call]:
    """Every call in ``root``, in source order, an outer call before its arguments."""
    return (node for node in walk(root) if isinstance(node, cst.Call))


def executed_calls(root: cst.CSTNode) -> Iterator[cst.Call]:
    """Every call in ``root`` in the order of execution: arguments before the call they belong to."""
    for child in _children(root):
        yield from executed_calls(child)
    if isinstance(root, cst.Call):
        yield root


def code(node: cst.CSTNode) -> str:
    """The source text of a node."""
    return cst.Module(body=[]).code_for_node(node)


def expression(text: str) -> cst.BaseExpression:
    """``text`` parsed as an expression."""
    return cst.parse_expression(text)


def statements(text: str) -> list[cst.BaseStatement]:
    """``text`` parsed as statements, at any common indentation."""
    body = cst.parse_module(dedent(text).strip("\n") + "\n").body
    return [statement for statement in body if isinstance(statement, cst.BaseStatement)]


@cache
def names_in(text: str) -> frozenset[str]:
    """The variables an expression reads, without names of attributes."""
    return frozenset(node.id for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Name))


def dotted(node: cst.CSTNode) -> str:
    """``a.b.c`` for a chain of attributes of a name, ``""`` for anything else."""
    if isinstance(node, cst.Name):
        return node.value
    if isinstance(node, cst.Attribute):
        front = dotted(node.value)
        return f"{front}.{node.attr.value}" if front else ""
    return ""


def self_attribute(node: cst.CSTNode) -> str:
    """``x`` for ``self.x``, ``""`` for anything else."""
    name = dotted(node)
    return name[5:] if name.startswith("self.") and name.count(".") == 1 else ""


def integer(node: cst.CSTNode | None) -> int | None:
    """The value of an integer literal, with its sign; ``None`` for anything else."""
    if isinstance(node, cst.Integer):
        return int(ast.literal_eval(node.value))
    if isinstance(node, cst.UnaryOperation) and isinstance(node.operator, cst.Minus):
        value = integer(node.expression)
        return None if value is None else -value
    return None


def parameter_names(function: cst.FunctionDef) -> tuple[str, ...]:
    """The names a caller can pass, in order, without ``self`` and starred ones."""
    return tuple(parameter.name.value for parameter in parameters(function))


def parameters(function: cst.FunctionDef) -> tuple[cst.Param, ...]:
    """The parameters behind :func:`parameter_names`."""
    given = [*function.params.posonly_params, *function.params.params, *function.params.kwonly_params]
    return tuple(parameter for parameter in given if parameter.name.value != "self")


def arguments(call: cst.Call, names: Sequence[str]) -> dict[str, cst.Arg]:
    """The argument of each of the parameters ``names``; a starred argument ends the positional ones."""
    bound: dict[str, cst.Arg] = {}
    open_names = iter(names)
    starred = False
    for argument in call.args:
        if argument.keyword is not None:
            bound[argument.keyword.value] = argument
        elif argument.star or starred:
            starred = True
        elif (name := next(open_names, None)) is not None:
            bound[name] = argument
    return bound


def default_parameter(name: str, default: str) -> cst.Param:
    """The parameter ``name=default``."""
    return cst.Param(cst.Name(name), default=expression(default), equal=_EQUAL)


def with_arguments(call: cst.Call, names: Sequence[str], values: Mapping[str, str]) -> cst.Call:
    """``call`` with each parameter in ``values`` set: in place if it is passed, else by keyword at the end."""
    bound = arguments(call, names)
    edits: dict[cst.CSTNode, cst.CSTNode] = {}
    added: list[cst.Arg] = []
    for name, value in values.items():
        if name in bound:
            edits[bound[name].value] = expression(value)
        else:
            added.append(cst.Arg(expression(value), keyword=cst.Name(name), equal=_EQUAL))
    args = [replaced(argument, edits) for argument in call.args]
    if added and args and not isinstance(args[-1].comma, cst.Comma):
        args[-1] = args[-1].with_changes(comma=COMMA)
    args += [argument.with_changes(comma=COMMA) for argument in added[:-1]] + added[-1:]
    return call.with_changes(args=args)


class _Replacer(cst.CSTTransformer):
    def __init__(self, tree: cst.CSTNode, edits: Edits) -> None:
        super().__init__()
        self.edits = edits
        self.on_path: set[cst.CSTNode] = set()
        self._find(tree)

    def _find(self, node: cst.CSTNode) -> bool:
        inside = [self._find(child) for child in _children(node)]
        if any(inside) or node in self.edits:
            self.on_path.add(node)
            return True
        return False

    def on_visit(self, node: cst.CSTNode) -> bool:
        return node in self.on_path and node not in self.edits

    def on_leave(  # type: ignore[override]
        self, original_node: cst.CSTNode, updated_node: cst.CSTNode
    ) -> cst.CSTNode | cst.FlattenSentinel[cst.CSTNode] | cst.RemovalSentinel:
        return self.edits.get(original_node, updated_node)


def replaced(tree: Tree, edits: Edits) -> Tree:
    """``tree`` with every node in ``edits`` replaced.

    Edits inside a replaced node have no effect. Nodes without an edit stay the same objects, so that they can still
    be edited later.
    """
    return cast("Tree", tree.visit(_Replacer(tree, edits))) if edits else tree


def renamed(tree: Tree, names: Mapping[str, str]) -> Tree:
    """``tree`` with variables replaced by expressions; attributes and keywords of the same name stay."""
    kept: set[cst.CSTNode] = set()
    alone: set[cst.CSTNode] = set()
    edits: dict[cst.CSTNode, cst.CSTNode] = {}
    for node in walk(tree):
        if isinstance(node, cst.Attribute):
            kept.add(node.attr)
        elif isinstance(node, cst.Arg):
            kept.update([node.keyword] if node.keyword else [])
            alone.add(node.value)
        elif isinstance(node, cst.Name) and node.value in names and node not in kept:
            new = expression(names[node.value])
            edits[node] = new if node in alone else enclosed(new)
    return replaced(tree, edits)


def enclosed(node: cst.BaseExpression) -> cst.BaseExpression:
    """``node`` as an operand, in parentheses if it needs them."""
    atomic = (cst.Name, cst.Attribute, cst.Call, cst.Integer, cst.Float, cst.Subscript, cst.List, cst.SimpleString)
    if isinstance(node, atomic) or node.lpar:
        return node
    return node.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def operand(text: str) -> str:
    """``text`` as an operand, in parentheses if it needs them."""
    return code(enclosed(expression(text)))


def renamed_everywhere(tree: Tree, old: str, new: str) -> Tree:
    """``tree`` with a name replaced everywhere: variables, parameters, attributes and keywords."""
    names = (node for node in walk(tree) if isinstance(node, cst.Name) and node.value == old)
    return replaced(tree, {node: node.with_changes(value=new) for node in names})
