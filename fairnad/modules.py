"""Modules that are known to run and to keep the shape of their map: parts new modules can be put together from."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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


def module_text(code: str, name: str) -> str:
    """A class of ``code`` with all of its imports, and those of its top-level definitions the class needs.

    Raises:
        SyntaxError: ``code`` does not parse.
        KeyError: it defines nothing of that name.
    """
    tree = ast.parse(code)
    nodes = {defined: node for node in tree.body for defined in names_of(node)}
    needed, waiting = {name}, [name]
    while waiting:
        for node in ast.walk(nodes[waiting.pop()]):
            if isinstance(node, ast.Name) and node.id in nodes and node.id not in needed:
                needed.add(node.id)
                waiting.append(node.id)
    imports = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    wanted = dict.fromkeys(statement_text(code, node) for defined, node in nodes.items() if defined in needed)
    return "\n\n\n".join(["\n".join(imports), *wanted]).lstrip("\n") + "\n"


def defined_names(tree: ast.Module | None) -> Iterator[str]:
    """The classes, functions and constants a file defines at its top level; none where there is no file."""
    for node in tree.body if tree else ():
        yield from names_of(node)


def statement_text(source: str, node: ast.stmt) -> str:
    """The lines of a top-level statement, its decorators included."""
    return "\n".join(source.splitlines()[first_line(node) : node.end_lineno])


def first_line(node: ast.stmt) -> int:
    """Where a statement begins, its decorators included, counted from 0."""
    decorators = node.decorator_list if isinstance(node, ast.ClassDef | ast.FunctionDef) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)]) - 1


def names_of(node: ast.stmt) -> Iterator[str]:
    """What a top-level statement defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
