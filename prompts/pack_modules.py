"""The modules of a pack: ``modules.py``, a Python file of classes, read as text and never imported."""

from __future__ import annotations

import ast
from pathlib import Path

from fairnad.errors import PackError
from fairnad.ideas.checked_modules import CheckedModule, SourceFile
from prompts.pack_files import read_text


def read_modules(path: Path) -> tuple[CheckedModule, ...]:
    """Every class with a ``forward`` in the file, in its order; none where there is no file.

    Each says in the first line of its docstring what it does. Whether it runs, and keeps the shape of its map, is
    seen where it is built.

    Raises:
        PackError: the file does not parse, or a class says nothing.
    """
    if not path.exists():
        return ()
    text = read_text(path)
    try:
        file = SourceFile(text, ast.parse(text))
    except (SyntaxError, ValueError) as error:
        raise PackError(f"{path}: not valid Python: {error}: mend it") from error
    classes = [node for node in file.tree.body if isinstance(node, ast.ClassDef)]
    return tuple(_read(path, file, node) for node in classes if _is_module(node))


def _read(path: Path, file: SourceFile, node: ast.ClassDef) -> CheckedModule:
    said = ast.get_docstring(node)
    if not said:
        raise PackError(f"{path}: class {node.name}: expected a docstring that says what it does, found none: add one")
    return CheckedModule(f"pack/{node.name}", node.name, said.splitlines()[0], file.module(node.name))


def _is_module(node: ast.ClassDef) -> bool:
    return any(isinstance(member, ast.FunctionDef) and member.name == "forward" for member in node.body)
