"""Modules of the module library in a source: added where the source uses them, and found in sources that passed."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from agents.builtin.module_spots import MapShape
from agents.builtin.new_module import ModuleError, NewModule, read_module
from agents.replies.source_replies import parse
from fairnad.ideas.checked_modules import CheckedModule, SourceFile, first_line
from fairnad.ports import Proposal

_TRIED_ON: tuple[MapShape, ...] = ((8, 8, 8), (16, 7, 5), (12, 2, 2))
"""Maps whose shape a module must keep: few and more channels, odd and small sizes."""


def select_modules(modules: Iterable[CheckedModule], parent: str) -> list[CheckedModule]:
    """The modules that can be offered for a parent: all whose names the parent does not use otherwise."""
    defined = _definitions(parent)
    return [
        module
        for module in modules
        if all(defined.get(name, text) == text for name, text in _definitions(module.source).items())
    ]


def add_modules(source: str, modules: Sequence[CheckedModule]) -> tuple[str, list[str]]:
    """A source with the definitions of the modules it uses without defining them, and the names of these modules.

    A source that does not parse stays as it is.
    """
    tree = parse(source)
    if tree is None:
        return source, []
    file = SourceFile(source, tree)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used = [module for module in modules if module.name in names - file.nodes.keys()]
    if not used:
        return source, []
    first = next((first_line(node) for node in tree.body if isinstance(node, ast.ClassDef)), len(file.lines))
    statements = dict.fromkeys(statement for module in used for statement in _statements(module.source))
    present = {ast.unparse(node) for node in tree.body}
    missing = [text for text, is_import in statements if is_import and text not in present]
    definitions = [f"{text}\n\n" for text, is_import in statements if not is_import]
    top = min(first, next((first_line(node) for node in tree.body if not _comes_first(node)), first))
    lines = [*file.lines[:top], *missing, *file.lines[top:first], *definitions, *file.lines[first:]]
    return "\n".join(lines), [module.name for module in used]


def add_used_modules(proposal: Proposal, modules: Sequence[CheckedModule]) -> Proposal:
    """A proposal with the modules that its source uses; its note names them."""
    source, used = add_modules(proposal.source, modules)
    note = "; ".join(filter(None, [proposal.note, f"uses {', '.join(used)}"]))
    return replace(proposal, source=source, note=note) if used else proposal


def find_new_modules(source: str, parent: str) -> Iterator[tuple[str, str, str]]:
    """(name, text, a network of this class alone) for each class of ``source`` that can be a module.

    The parent does not define it, it is built from its channels alone, and takes one map. Whether it keeps the map's
    shape is found by running the network.
    """
    old = _definitions(parent)
    file = SourceFile(source, ast.parse(source))
    for name, node in file.nodes.items():
        if isinstance(node, ast.ClassDef) and name not in old and name != "Network":
            text = file.module(name)
            module = _read(text, name)
            if module is not None:
                yield name, text, module.alone(_TRIED_ON)


def write_test_network(module: CheckedModule) -> str:
    """A network of one module alone, which runs if the module keeps its contract.

    Raises:
        ModuleError: the source has no module of that name that is built from its channels alone.
    """
    read = _read(module.source, module.name)
    if read is None:
        raise ModuleError(f"expected a class {module.name} with a forward, built as {module.name}(channels)")
    return read.alone(_TRIED_ON)


def _read(text: str, name: str) -> NewModule | None:
    try:
        module = read_module(text, ())
    except ModuleError:
        return None
    return module if module.name == name and module.is_built_of_channels else None


def _definitions(source: str) -> dict[str, str]:
    """The text of each top-level definition of a source, by name."""
    tree = parse(source)
    if tree is None:
        return {}
    file = SourceFile(source, tree)
    return {name: file.text(node) for name, node in file.nodes.items()}


def _statements(source: str) -> Iterator[tuple[str, bool]]:
    """Each statement's text, and whether it is an import."""
    file = SourceFile(source, ast.parse(source))
    for node in file.tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield ast.unparse(node), True
        elif not _comes_first(node):
            yield file.text(node), False


def _comes_first(node: ast.stmt) -> bool:
    """Whether nothing may stand before it: a docstring, or an import from the future."""
    if isinstance(node, ast.ImportFrom):
        return node.module == "__future__"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
