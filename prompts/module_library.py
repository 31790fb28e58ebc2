"""The module library of a pack: TOML files of modules and transformations, read as text and never imported.

A file in the folder ``modules`` holds one family. Each ``[[entry]]`` is a module in plain PyTorch, a change of the
network that the built-in designer can make, or both.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from fairnad.errors import PackError
from fairnad.ideas.attribute_tree import Category, Granularity, Target
from fairnad.ideas.checked_modules import CheckedModule
from fairnad.ideas.idea import MutationTarget
from prompts.pack_files import Text, read_toml

_IMPORTS = {
    "math.": "import math",
    "torch.": "import torch",
    "nn.": "import torch.nn as nn",
    "F.": "import torch.nn.functional as F",
}


def _category(text: object) -> object:
    """``target / granularity / main category`` as the pack's attribute tree names them."""
    if not isinstance(text, str) or text.count(" / ") != 2:
        raise ValueError(f"expected 'target / granularity / main category', found {text!r}")
    target, granularity, main = text.split(" / ")
    return Category(Target(target), Granularity(granularity), main)


class Entry(BaseModel):
    """One entry of the library.

    Attributes:
        name: what notes and messages call it; unique in the pack.
        source: a class of PyTorch whose docstring says in its first line what it does.
        offered: whether language models are offered the class; it keeps the shape and is built as ``Name(channels)``.
        change: what the built-in designer does, by its name in :mod:`agents.builtin.catalogue`.
        module: the class of another entry that ``change`` uses.
        categories: the main categories of ideas it carries out.
        targets: the mutation targets it fits.
        words: phrases in lower case that an idea for it contains.
        pattern: the new expression of a change that rewrites one.
        same_width: only a convolution with equal widths is rewritten.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Text
    source: str = ""
    offered: bool = False
    change: str = ""
    module: str = ""
    categories: tuple[Annotated[Category, BeforeValidator(_category)], ...] = ()
    targets: frozenset[MutationTarget] = frozenset()
    words: tuple[str, ...] = ()
    pattern: str = ""
    same_width: bool = False


class _Family(BaseModel):
    model_config = ConfigDict(extra="forbid")

    entry: list[Entry] = Field(min_length=1)


@dataclass(frozen=True)
class ModuleLibrary:
    """The module library of a pack.

    Attributes:
        offered: modules that language models are offered.
        transformations: entries with a change, in the order of the files; each holds the source its change needs.
    """

    offered: tuple[CheckedModule, ...] = ()
    transformations: tuple[Entry, ...] = ()


def read_module_library(folder: Path) -> ModuleLibrary:
    """Read every TOML file of a folder, in the order of their names; a pack may have no such folder.

    No module runs here; :func:`graphs.runtime.module_library` checks those that are offered.

    Raises:
        PackError: a file is malformed, or a source is not one class with a docstring.
    """
    if (old := folder.with_suffix(".py")).exists():
        raise PackError(f"{old}: modules are entries of TOML files in {folder} now: move each class to a 'source'")
    sources: dict[str, str] = {}
    offered, changes = [], []
    for path in sorted(folder.glob("*.toml")):
        for entry in read_toml(path, _Family).entry:
            if entry.source:
                module = _read_class(path, entry)
                sources[module.name] = entry.source
                offered += [module] if entry.offered else []
            if entry.change:
                changes.append((path, entry))
    return ModuleLibrary(tuple(offered), _with_sources(changes, sources))


def _read_class(path: Path, entry: Entry) -> CheckedModule:
    place = f"{path}: {entry.name!r}: source"
    try:
        body = ast.parse(entry.source).body
    except (SyntaxError, ValueError) as error:
        raise PackError(f"{place}: not valid Python: {error}: fix it") from error
    if len(body) != 1 or not isinstance(node := body[0], ast.ClassDef):
        raise PackError(f"{place}: expected one class, found {len(body)} statements: fix it")
    description = ast.get_docstring(node)
    if not description:
        raise PackError(f"{place}: class {node.name}: expected a docstring that says what it does: add one")
    imports = "\n".join(line for use, line in _IMPORTS.items() if use in entry.source)
    source = f"{imports}\n\n\n{entry.source.strip()}\n"
    return CheckedModule(f"pack/{node.name}", node.name, description.splitlines()[0], source)


def _with_sources(changes: Sequence[tuple[Path, Entry]], sources: dict[str, str]) -> tuple[Entry, ...]:
    found: dict[str, Entry] = {}
    for path, entry in changes:
        if entry.name in found:
            raise PackError(f"{path}: {entry.name!r}: another entry has this name: rename one")
        if entry.module and entry.module not in sources:
            raise PackError(f"{path}: {entry.name!r}: module {entry.module!r}: no entry has this class: add it")
        if not (entry.categories and entry.targets):
            raise PackError(f"{path}: {entry.name!r}: expected categories and targets beside a change: add them")
        found[entry.name] = entry.model_copy(update={"source": entry.source or sources.get(entry.module, "")})
    return tuple(found.values())
