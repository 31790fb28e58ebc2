"""What a name that is passed to ``getattr`` can be, read from the source: the strings that are ever bound to it.

Order and scopes are ignored: everything that is bound to a variable or a parameter of one name counts for all of that
name, and so for attributes, which are noted with a dot in front. The result has too many strings rather than too few.
A name is unknown as soon as anything may be bound to it that is not a plain string in the source.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from tools.jobs.bindings import (
    Access,
    bindings,
    called_name,
    called_nodes,
    field_name,
    is_name,
    key_of,
    last_name,
    opaque,
    opened,
    parameter_names,
    read_nodes,
)

_MAX_DEPTH = 24
_MAX_LOOKS = 20_000
"""Expressions looked at for one source; a source that needs more is not read."""

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_MUTABLE = (ast.List, ast.Dict, ast.Set)
_MAKES_FIELDS = frozenset({"namedtuple", "make_dataclass", "SimpleNamespace", "_make"})
_LOOK_UP = ("attrgetter", "methodcaller")
_METHOD_KINDS = frozenset({"classmethod", "staticmethod"})


class ConstantNames:
    """The bindings of a source."""

    def __init__(self, module: ast.Module) -> None:
        self._bound: defaultdict[str, list[ast.expr]] = defaultdict(list)
        self._unknown: set[str] = set()
        self._num_left = _MAX_LOOKS
        self._fields: set[str] = set()
        self._prefixes: set[str] = set()
        self._nodes = list(ast.walk(module))
        self._classes = {node.name: node for node in self._nodes if isinstance(node, ast.ClassDef)}
        self._calls: defaultdict[str, list[ast.Call]] = defaultdict(list)
        for node in self._nodes:
            if isinstance(node, ast.Call):
                self._calls[called_name(node)].append(node)
        self._escaped = set(self._loads_but(called_nodes(self._nodes)))
        self._shared = set(self._loads_but(read_nodes(self._nodes)))
        for node in self._nodes:
            for name, value in bindings(node):
                self._bound[name].append(value)
            self._unknown.update(opaque(node))
        self._bind_attributes()
        self._escape_by_name(module)
        self._bind_functions(module)

    def of(self, expression: ast.expr) -> set[str] | None:
        """Every string the expression can stand for, ``None`` where that is unknown."""
        return self._strings(expression, (), frozenset(), 0)

    def _loads_but(self, expected: set[int]) -> Iterator[str]:
        """The names that are read anywhere else than at the expected nodes."""
        for node in self._nodes:
            if (
                isinstance(node, ast.Name | ast.Attribute)
                and isinstance(node.ctx, ast.Load)
                and id(node) not in expected
            ):
                yield key_of(node)

    def _bind_attributes(self) -> None:
        """What a class's body binds is an attribute; ``setattr`` and calls of classes without ``__init__`` bind too."""
        if any(key_of(node).removeprefix(".") in _MAKES_FIELDS for node in self._nodes if is_name(node)):
            self._prefixes.add("")
        for call in self._calls["setattr"]:
            self._bind_set(call)
        for node in self._classes.values():
            inner = {name for part in ast.walk(node) for name, _ in bindings(part) if not name.startswith(".")}
            inner |= set(filter(None, map(field_name, node.body)))
            self._fields |= inner
            for name in inner:
                self._bound[f".{name}"].append(ast.Name(name))
            self._unknown |= {f".{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
            if not any(isinstance(part, ast.FunctionDef) and part.name == "__init__" for part in node.body):
                for name in self._family(node):
                    for value in (value for call in self._calls[name] for value in call.args):
                        for field in inner:
                            self._bound[f".{field}"].append(value)

    def _bind_set(self, call: ast.Call) -> None:
        match call.args:
            case [_, ast.Constant(value=str() as name), value]:
                self._bound[f".{name}"].append(value)
            case [_, ast.JoinedStr(values=[ast.Constant(value=str() as prefix), *_]), _]:
                self._prefixes.add(prefix)
            case _:
                self._prefixes.add("")

    def _escape_by_name(self, module: ast.Module) -> None:
        """Methods that are looked up by name may be called in ways that are not seen."""
        imported = {
            name for node in module.body if isinstance(node, ast.Import | ast.ImportFrom) for name in opaque(node)
        }
        methods = {
            part.name for node in self._classes.values() for part in node.body if isinstance(part, ast.FunctionDef)
        }
        prefixes = {"" for name in _LOOK_UP if self._calls[name]}
        for call in self._calls["getattr"]:
            match call.args:
                case [ast.Name(id=owner), *_] if owner in imported:
                    pass
                case [_, ast.Constant(value=str() as name), *_]:
                    self._escaped.add(f".{name}")
                case [_, ast.JoinedStr(values=[ast.Constant(value=str() as prefix), *_]), *_]:
                    prefixes.add(prefix)
                case _:
                    prefixes.add("")
        self._escaped |= {f".{name}" for name in methods for prefix in prefixes if name.startswith(prefix)}

    def _bind_functions(self, module: ast.Module) -> None:
        known: set[int] = set()
        for node in module.body:
            if isinstance(node, ast.FunctionDef):
                known.add(id(node))
                self._bind_function(node, node.name in self._escaped, self._calls[node.name], is_method=False)
            elif isinstance(node, ast.ClassDef):
                for method in (part for part in node.body if isinstance(part, ast.FunctionDef)):
                    known.add(id(method))
                    self._bind_method(node, method)
        for function in self._nodes:
            if isinstance(function, Function) and id(function) not in known:
                self._unknown.update(parameter_names(function.args))

    def _bind_method(self, owner: ast.ClassDef, method: ast.FunctionDef) -> None:
        if method.name == "__init__":
            family = self._family(owner)
            names = [*family, "cls", "__init__", "super().__init__", "type()"]
            escapes = bool(self._escaped & set(family))
        else:
            names = [method.name]
            # What Python calls by itself, and what modules are called by, is never called by its name.
            escapes = f".{method.name}" in self._escaped or method.name == "forward" or method.name.startswith("__")
        calls = [call for name in names for call in self._calls[name]]
        self._bind_function(method, escapes, calls, is_method=True)

    def _family(self, node: ast.ClassDef) -> list[str]:
        """The class, and those that are derived from it."""
        found = [node.name]
        for name in found:
            found += [
                one.name
                for one in self._classes.values()
                if one.name not in found and any(is_name(base) and last_name(base) == name for base in one.bases)
            ]
        return found

    def _bind_function(
        self, function: ast.FunctionDef, escapes: bool, calls: Iterable[ast.Call], *, is_method: bool
    ) -> None:
        kinds = {last_name(one) if is_name(one) else "" for one in function.decorator_list}
        if escapes or kinds - _METHOD_KINDS:
            self._unknown.update(parameter_names(function.args))
            return
        self._unknown.update(one.arg for one in (function.args.vararg, function.args.kwarg) if one is not None)
        every = [*function.args.posonlyargs, *function.args.args]
        positional = every[1:] if is_method and "staticmethod" not in kinds else every
        defaults = list(zip(reversed(every), reversed(function.args.defaults), strict=False))
        defaults += [
            (one, value)
            for one, value in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
            if value is not None
        ]
        for one, value in defaults:
            self._bound[one.arg].append(value)
        for call in calls:
            self._bind_call(call, [one.arg for one in positional], [one.arg for one in function.args.kwonlyargs])

    def _bind_call(self, call: ast.Call, positional: Sequence[str], by_name: Sequence[str]) -> None:
        for number, (name, value) in enumerate(zip(positional, call.args, strict=False)):
            if isinstance(value, ast.Starred):
                self._unknown.update(positional[number:])
                break
            self._bound[name].append(value)
        if any(keyword.arg is None for keyword in call.keywords):
            self._unknown.update((*positional, *by_name))

    def _strings(
        self, node: ast.expr, path: tuple[Access, ...], seen: frozenset[tuple[str, int]], depth: int
    ) -> set[str] | None:
        """What an expression stands for once a ``path`` of accesses, the last one first, has led out of containers."""
        self._num_left -= 1
        match node:
            case _ if depth > _MAX_DEPTH or self._num_left < 0:
                return None
            case ast.Constant(value=str() as text):
                return None if path else {text}  # a part of a text is another text
            case ast.Constant():
                return set()  # no name at all: getattr refuses it
            case ast.Name() | ast.Attribute():
                return self._of_name(node, path, seen, depth)
            case ast.Call(func=ast.Attribute(value=owner, attr="get"), args=[_, *default], keywords=[]):
                found = self._strings(owner, ("item", *path), seen, depth + 1)
                others = self._union(default, path, seen, depth)
                return None if found is None or others is None else found | others
            case _:
                parts, inner = opened(node, path)
                return None if parts is None else self._union(parts, inner, seen, depth)

    def _of_name(
        self, node: ast.Name | ast.Attribute, path: tuple[Access, ...], seen: frozenset[tuple[str, int]], depth: int
    ) -> set[str] | None:
        name = key_of(node)
        if (name, len(path)) in seen:
            return set()
        bound = self._bound.get(name, [])
        is_free = name in self._unknown or any(name.startswith(f".{prefix}") for prefix in self._prefixes)
        is_mutable = name in self._shared and any(isinstance(value, _MUTABLE) for value in bound)
        is_foreign = isinstance(node, ast.Attribute) and not self._is_own(node)
        if not bound or is_free or is_mutable or is_foreign:
            return None
        return self._union(bound, path, seen | {(name, len(path))}, depth)

    def _is_own(self, node: ast.Attribute) -> bool:
        """Whether an attribute is one of an object that a class of the source makes."""
        owner = last_name(node.value) if isinstance(node.value, ast.Name) else ""
        return owner in ("self", "cls") or (bool(owner) and node.attr in self._fields)

    def _union(
        self, nodes: Iterable[ast.expr], path: tuple[Access, ...], seen: frozenset[tuple[str, int]], depth: int
    ) -> set[str] | None:
        found: set[str] = set()
        for node in nodes:
            strings = self._strings(node, path, seen, depth + 1)
            if strings is None:
                return None
            found |= strings
        return found
