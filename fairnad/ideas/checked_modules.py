"""Modules that are known to run and to keep the shape of their map: parts new modules can be put together from."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

CONTRACT = "(B, C, H, W) → (B, C, H, W)"
"""What every one of them keeps, for any batch, width and size of the map: shape and dtype of what it is given."""


@dataclass(frozen=True, slots=True)
class CheckedModule:
    """A module that was built and run alone, and kept :data:`CONTRACT`.

    ``module_id`` is ``pack/Name``, or the candidate it comes from and its name; ``does`` says what it does, in words
    or as the idea it was made for; ``source`` holds its imports and its classes, and is built as ``Name(channels)``.
    """

    module_id: str
    name: str
    does: str
    source: str


def distinct(modules: Iterable[CheckedModule], limit: int) -> list[CheckedModule]:
    """The first ``limit`` of different names and sources: a copy helps no one, and of one name only one can be used."""
    kept: list[CheckedModule] = []
    for module in modules:
        if len(kept) < limit and all(module.name != one.name and module.source != one.source for one in kept):
            kept.append(module)
    return kept


@dataclass(frozen=True)
class SourceFile:
    """A Python file as the statements at its top level; ``tree`` is what ``code`` parses to."""

    code: str
    tree: ast.Module

    @cached_property
    def nodes(self) -> Mapping[str, ast.stmt]:
        """What defines each class, function and constant."""
        return {name: node for node in self.tree.body for name in _names_of(node)}

    @cached_property
    def lines(self) -> Sequence[str]:
        """Its lines as Python counts them, without their ends."""
        return self.code.split("\n")

    def text(self, node: ast.stmt) -> str:
        """The lines of a statement, its decorators included."""
        return "\n".join(self.lines[first_line(node) : node.end_lineno])

    def module(self, name: str) -> str:
        """A class with all of the imports, and those of the other definitions it needs.

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
    """Where a statement begins, its decorators included, counted from 0."""
    decorators = node.decorator_list if isinstance(node, ast.ClassDef | ast.FunctionDef) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)]) - 1


def _names_of(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
