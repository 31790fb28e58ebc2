"""Checked modules: they run and keep the shape of their map, and new modules can be composed from them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

CONTRACT = "(B, C, H, W) → (B, C, H, W)"
"""The contract of checked modules: shape and dtype of the input are kept, for any batch size, width and map size."""


@dataclass(frozen=True, slots=True)
class CheckedModule:
    """A module that was built and run alone, and kept :data:`CONTRACT`.

    ``module_id`` is ``pack/Name``, or its candidate's id and its name. ``does`` describes it, or is the idea it was
    made for. ``source`` holds its imports and classes; it is built as ``Name(channels)``.
    """

    module_id: str
    name: str
    does: str
    source: str


def distinct(modules: Iterable[CheckedModule], limit: int) -> list[CheckedModule]:
    """The first ``limit`` modules with distinct names and sources."""
    kept: list[CheckedModule] = []
    for module in modules:
        if len(kept) < limit and all(module.name != one.name and module.source != one.source for one in kept):
            kept.append(module)
    return kept


@dataclass(frozen=True)
class SourceFile:
    """A Python file as top-level statements; ``tree`` is the parsed ``code``."""

    code: str
    tree: ast.Module

    @cached_property
    def nodes(self) -> Mapping[str, ast.stmt]:
        """The statement that defines each class, function and constant."""
        return {name: node for node in self.tree.body for name in _names_of(node)}

    @cached_property
    def lines(self) -> Sequence[str]:
        """The lines as Python counts them, without line ends."""
        return self.code.split("\n")

    def text(self, node: ast.stmt) -> str:
        """The lines of a statement including decorators."""
        return "\n".join(self.lines[first_line(node) : node.end_lineno])

    def module(self, name: str) -> str:
        """A class with all imports and the definitions it needs.

        Raises:
            KeyError: nothing of that name is defined.
        """
        needed, waiting = {name}, [name]
        while waiting:
            for node in ast.walk(self.nodes[waiting.pop()]):
                if isinstance(node, ast.Name) and node.id in self.nodes and node.id not in needed:
                    needed.add(node.id)
                    waiting.append(node.id)
        imports = [ast.unparse(node) for node in self.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        wanted = dict.fromkeys(self.text(node) for defined, node in self.nodes.items() if defined in needed)
        return "\n\n\n".join(["\n".join(imports), *wanted]).lstrip("\n") + "\n"


def first_line(node: ast.stmt) -> int:
    """The first line of a statement including decorators, counted from 0."""
    decorators = node.decorator_list if isinstance(node, ast.ClassDef | ast.FunctionDef) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)]) - 1


def _names_of(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
