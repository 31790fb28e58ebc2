"""Removes decorators that only compile a function or guide the compiler, as they change no result.

Their lines stay as empty lines, so that line numbers in messages match the source.
"""

from __future__ import annotations

import ast

_REMOVED = frozenset(
    f"{owner}.{name}"
    for owner, names in {
        "jit": ("export", "ignore", "script", "script_if_tracing", "unused"),
        "torch": ("compile",),
        "compiler": ("allow_in_graph", "disable"),
    }.items()
    for name in names
)


def without_compiling_decorators(source: str) -> str:
    """The source without ``torch.jit`` and ``torch.compile`` decorators; unchanged if it does not parse."""
    if not any(name.split(".")[1] in source for name in _REMOVED):
        return source
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return source
    lines = source.split("\n")
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            for decorator in filter(_is_removed, node.decorator_list):
                for number in range(decorator.lineno - 1, decorator.end_lineno or decorator.lineno):
                    lines[number] = ""
    return "\n".join(lines)


def _is_removed(decorator: ast.expr) -> bool:
    """Compares the last two names: ``torch.jit.script``, ``jit.script`` and ``torch.compile(dynamic=True)`` alike."""
    name = ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)
    return ".".join(name.split(".")[-2:]) in _REMOVED
