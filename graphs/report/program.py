"""``best.py``: the source of a network with a command line that works without this project."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tools.datasets.image_decoding import CONVERT_ONE, FOREIGN_SUFFIXES, FORMATS, IMAGE_SUFFIXES, MAX_PIXELS
from tools.jobs.decorators import without_compiling_decorators

TEMPLATE_NAME = "best.py.jinja"

_READING = {
    "suffixes": " ".join(sorted({*IMAGE_SUFFIXES, *FOREIGN_SUFFIXES})),
    "foreign": " ".join(sorted(FOREIGN_SUFFIXES)),
    "formats": " ".join(FORMATS),
    "max_pixels": MAX_PIXELS,
    "convert": CONVERT_ONE,
}
"""The same rules for reading images as in the search."""


def make_program(source: str, *, candidate_id: str, run_name: str) -> str:
    """The text of ``best.py``.

    Drops the source's own ``if __name__ == "__main__"`` and decorators that compile. Functions of the command line are
    renamed if the source already uses their names.
    """
    text = without_main_guard(without_compiling_decorators(source))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, keep_trailing_newline=True
    )
    template = environment.get_template(TEMPLATE_NAME)
    names = {"candidate_id": candidate_id, "run_name": run_name, **_READING}
    command_line = template.render(source="", **names)
    taken = _names(ast.parse(text))
    clashing = {name for name in _definitions(ast.parse(command_line)) if name in taken}
    head, command_line = template.render(source="\0", **names).split("\0")
    for name in clashing:
        free = name
        while free in taken:
            free += "_"
        command_line = re.sub(rf"\b{name}\b", free, command_line)
    return head + text.strip("\n") + command_line


def without_main_guard(source: str) -> str:
    """The source without its ``if __name__ == "__main__"`` blocks."""
    lines = source.splitlines(keepends=True)
    for node in reversed(ast.parse(source).body):
        if isinstance(node, ast.If) and "__name__" in _names(node.test):
            assert node.end_lineno is not None, "parsed text has line numbers"
            del lines[node.lineno - 1 : node.end_lineno]
    return "".join(lines)


def _names(tree: ast.AST) -> set[str]:
    """Every name a tree uses, defines or imports."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
    return names


def _definitions(tree: ast.Module) -> set[str]:
    """The functions and constants a module defines at its top level."""
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    constants = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return functions | constants
