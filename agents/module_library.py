"""Checked modules as parts: written into a source that uses them by name, and found in a source that passed."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from agents.builtin.module_spots import MapShape
from agents.builtin.new_module import ModuleError, NewModule, read_module
from agents.replies.source_replies import parse
from fairnad.ideas.checked_modules import CheckedModule, SourceFile, first_line
from fairnad.ports import Proposal
from fairnad.records.candidate import Failure

_TRIED_ON: tuple[MapShape, ...] = ((8, 8, 8), (16, 7, 5), (12, 2, 2))
"""Maps a module has to keep the shape of before it is called checked: few and more channels, odd and small sizes."""


def at_hand(parts: Iterable[CheckedModule], parent: str) -> list[CheckedModule]:
    """The parts a model can be offered for a parent: all but those whose names mean something else there."""
    there = _definitions(parent)
    return [
        part for part in parts if all(there.get(name, text) == text for name, text in _definitions(part.source).items())
    ]


def with_parts(source: str, parts: Sequence[CheckedModule]) -> tuple[str, list[str]]:
    """A source with the definitions of the parts it uses and does not define, and the names of these parts.

    A source that does not parse stays as it is.
    """
    tree = parse(source)
    if tree is None:
        return source, []
    file = SourceFile(source, tree)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used = [part for part in parts if part.name in names - file.nodes.keys()]
    if not used:
        return source, []
    first = next((first_line(node) for node in tree.body if isinstance(node, ast.ClassDef)), len(file.lines))
    statements = dict.fromkeys(statement for part in used for statement in _statements(part.source))
    present = {ast.unparse(node) for node in tree.body}
    missing = [text for text, is_import in statements if is_import and text not in present]
    definitions = [f"{text}\n\n" for text, is_import in statements if not is_import]
    top = min(first, next((first_line(node) for node in tree.body if not _comes_first(node)), first))
    written = [*file.lines[:top], *missing, *file.lines[top:first], *definitions, *file.lines[first:]]
    return "\n".join(written), [part.name for part in used]


def completed(proposal: Proposal | Failure, parts: Sequence[CheckedModule]) -> Proposal | Failure:
    """A proposal with the parts its source uses; its note names them."""
    if isinstance(proposal, Failure):
        return proposal
    source, used = with_parts(proposal.source, parts)
    note = "; ".join(filter(None, [proposal.note, f"uses {', '.join(used)}"]))
    return replace(proposal, source=source, note=note) if used else proposal


def new_modules(source: str, parent: str) -> Iterator[tuple[str, str, str]]:
    """(name, text, a network of nothing but it) for each class of ``source`` that may be a module of its own.

    It is none of the parent's, is built of its channels alone, and gets one map; whether it keeps its shape
    is seen when the network is run.
    """
    old = _definitions(parent)
    file = SourceFile(source, ast.parse(source))
    for name, node in file.nodes.items():
        if isinstance(node, ast.ClassDef) and name not in old and name != "Network":
            text = file.module(name)
            module = _read(text, name)
            if module is not None:
                yield name, text, module.alone(_TRIED_ON)


def alone(part: CheckedModule) -> str:
    """A network of nothing but a part, which runs where the part is what it is said to be.

    Raises:
        ModuleError: its source holds no module of its name that is built of its channels alone.
    """
    module = _read(part.source, part.name)
    if module is None:
        raise ModuleError(f"expected a class {part.name} with a forward, built as {part.name}(channels)")
    return module.alone(_TRIED_ON)


def _read(text: str, name: str) -> NewModule | None:
    try:
        module = read_module(text, ())
    except ModuleError:
        return None
    return module if module.name == name and module.is_built_of_channels else None


def _definitions(source: str) -> dict[str, str]:
    """What each name stands for that a source defines at its top level."""
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
    """Whether it is a docstring, or an import from the future, which nothing else may stand before."""
    if isinstance(node, ast.ImportFrom):
        return node.module == "__future__"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
