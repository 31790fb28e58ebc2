"""Reads the source of reference models from installed packages, reduced to the architecture.

Files are found by package and parsed, never imported or run. The result has the classes and functions that a model's
entry uses, from all modules of the package, without docstrings and code for weights and registration.
"""

from __future__ import annotations

import ast
import copy
import functools
import importlib.util
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fairnad.ideas.knowledge import Problem, ProblemKind, ReferenceModel

_MAX_DEFINITIONS = 40
_SKIPPED = ("Weights", "_cfg", "default_cfg", "pretrained", "register", "legacy", "checkpoint", "_log_", "_logger")
"""Parts of names for weights and registration."""
_SKIPPED_METHODS = frozenset(
    re.findall(
        r"\w+",
        "init_weights _init_weights _init_respostnorm group_matcher set_grad_checkpointing get_classifier "
        "reset_classifier no_weight_decay _load_from_state_dict forward_intermediates prune_intermediate_layers "
        "load_pretrained set_distilled_training set_input_size __repr__ extra_repr",
    )
)
"""Methods that are not part of the architecture."""


def read_reference(
    name: str, module: str, entries: Sequence[str], num_characters: int
) -> list[ReferenceModel] | Problem:
    """A model's source in parts of at most ``num_characters``, split between classes and functions if possible.

    Args:
        name: of the model.
        module: that defines it, such as ``torchvision.models.resnet``.
        entries: the classes or functions that build the model, the most important first.
    """
    package = _package(module.split(".")[0])
    if package.folder is None:
        return Problem(ProblemKind.MISSING, name, f"package {package.name} is not installed")
    home = package.module(module)
    missing = [entry for entry in entries if home is None or entry not in home.definitions]
    if home is None or missing:
        return Problem(
            ProblemKind.MISSING, name, f"{module} has no {', '.join(missing)} in the installed {package.name}"
        )
    # Copied, as other models of the package share these definitions.
    pieces = [ast.unparse(_Trimmer().visit(copy.deepcopy(node))) for node in _find_used(package, home, entries)]
    parts = _pack([piece for piece in pieces if piece.strip()], num_characters)
    return [ReferenceModel(name, code, number) for number, code in enumerate(parts)]


@dataclass
class _Module:
    """A parsed module: its top-level definitions, and (module, name) of each imported name."""

    name: str
    definitions: dict[str, ast.stmt] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)


class _Package:
    def __init__(self, name: str) -> None:
        self.name = name
        found = importlib.util.find_spec(name)  # imports nothing for a top-level name
        places = list(found.submodule_search_locations or ()) if found is not None else []
        self.folder = Path(places[0]) if places else None
        self._modules: dict[str, _Module | None] = {}

    def module(self, name: str) -> _Module | None:
        """A module by its full name, ``None`` if it does not exist."""
        if name not in self._modules:
            self._modules[name] = self._parse(name)
        return self._modules[name]

    def resolve(self, home: _Module, name: str) -> tuple[_Module, str] | None:
        """Find the definition of a name in ``home`` within the package, through any number of imports."""
        seen = set()
        while (home.name, name) not in seen:
            seen.add((home.name, name))
            if name in home.definitions:
                return home, name
            if name not in home.imports:
                return None
            source, name = home.imports[name]
            following = self.module(source)
            if following is None:
                return None
            home = following
        return None

    def _parse(self, name: str) -> _Module | None:
        parts = name.split(".")
        if self.folder is None or parts[0] != self.name:
            return None
        place = self.folder.joinpath(*parts[1:])
        path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if not path.is_file():
            return None
        parsed = _Module(name)
        inside = name if place.is_dir() else name.rpartition(".")[0]
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                parsed.definitions[node.name] = node
            elif isinstance(node, ast.ImportFrom):
                source = _absolute(node, inside)
                parsed.imports |= {alias.asname or alias.name: (source, alias.name) for alias in node.names}
        return parsed


@functools.cache
def _package(name: str) -> _Package:
    """An installed package; its modules are parsed once."""
    return _Package(name)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    base = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*base, *filter(None, [node.module])])


def _find_used(package: _Package, home: _Module, entries: Sequence[str]) -> Iterator[ast.stmt]:
    """All definitions that the entries use, in breadth-first order."""
    waiting = [(home, entry) for entry in entries]
    seen = {(home.name, entry) for entry in entries}
    for module, name in waiting:
        node = module.definitions[name]
        yield node
        for used in dict.fromkeys(inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)):
            found = package.resolve(module, used)
            if found is None or (found[0].name, found[1]) in seen or _is_plumbing(*found):
                continue
            if len(seen) < _MAX_DEFINITIONS:
                seen.add((found[0].name, found[1]))
                waiting.append(found)


def _is_plumbing(module: _Module, name: str) -> bool:
    """Whether a definition is about weights, or a private function."""
    is_private = module.name.rpartition(".")[2].startswith("_")
    return (
        _is_skipped(name)
        or name in _SKIPPED_METHODS
        or (is_private and isinstance(module.definitions[name], ast.FunctionDef))
    )


def _is_skipped(name: str) -> bool:
    return any(sign in name for sign in _SKIPPED)


class _Trimmer(ast.NodeTransformer):
    """Removes docstrings, decorators, annotations, and code for weights and logging."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        if node.name in _SKIPPED_METHODS:
            return None
        node.decorator_list, node.returns = [], None
        for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
            argument.annotation = None
        return self._trim(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.decorator_list = []
        return self._trim(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return ast.Pass() if node.value is None else ast.copy_location(ast.Assign([node.target], node.value), node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        is_skipped = isinstance(node.value, ast.Call) and _is_skipped(ast.unparse(node.value.func))
        # Not None: an empty block would be a syntax error.
        return ast.Pass() if is_skipped or isinstance(node.value, ast.Constant) else node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.copy_location(ast.Raise(), node)

    def _trim(self, node: ast.FunctionDef | ast.ClassDef) -> ast.AST:
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node


def _pack(pieces: Sequence[str], num_characters: int) -> list[str]:
    """Join pieces in order to as few parts as possible; cut long pieces at line ends."""
    parts: list[str] = []
    for piece in (short for whole in pieces for short in _cut(whole, num_characters)):
        if parts and len(parts[-1]) + len(piece) + 3 <= num_characters:
            parts[-1] += f"\n\n\n{piece}"
        else:
            parts.append(piece)
    return parts


def _cut(piece: str, num_characters: int) -> Iterator[str]:
    while len(piece) > num_characters:
        end = piece.rfind("\n", 0, num_characters)
        end = end if end > 0 else num_characters
        yield piece[:end]
        piece = piece[end:].lstrip("\n")
    yield piece
