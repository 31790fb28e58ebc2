"""What a name that is given to ``getattr`` can be, read off a source: the strings that are ever bound to it.

The reading knows no order and no scopes: what is bound to a variable or a parameter of one name anywhere counts for all
of that name, and so for attributes, which are noted with a dot in front. So it finds too many strings rather than too
few, and where it cannot tell, it says so.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

_MAX_DEPTH = 12


class ConstantNames:
    """The bindings of a source."""

    def __init__(self, module: ast.Module) -> None:
        self._bound: defaultdict[str, list[ast.expr]] = defaultdict(list)
        self._unknown: set[str] = set()
        calls: defaultdict[str, list[ast.Call]] = defaultdict(list)
        for node in ast.walk(module):
            if isinstance(node, ast.Call):
                calls[_called(node)].append(node)
        for node in ast.walk(module):
            for name, value in _bindings(node):
                self._bound[name].append(value)
            if isinstance(node, ast.ClassDef):
                self._bind_fields(node)
                for method in node.body:
                    if isinstance(method, ast.FunctionDef):
                        names = (node.name, "cls", "super().__init__") if method.name == "__init__" else (method.name,)
                        self._bind_parameters(method, [call for name in names for call in calls[name]], is_method=True)
            elif isinstance(node, ast.Module):
                for function in (n for n in node.body if isinstance(n, ast.FunctionDef)):
                    self._bind_parameters(function, calls[function.name], is_method=False)

    def of(self, expression: ast.expr) -> set[str] | None:
        """Every string the expression can stand for, ``None`` where that cannot be told."""
        return self._strings(expression, frozenset(), 0)

    def _bind_fields(self, node: ast.ClassDef) -> None:
        """What a class's body gives a value is an attribute, and that of a dataclass a keyword gives one."""
        for statement in node.body:
            for name, _ in _bindings(statement):
                self._bound[f".{name}"].append(ast.Name(name))
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                self._bound[f".{statement.target.id}"].append(ast.Name(statement.target.id))

    def _bind_parameters(self, function: ast.FunctionDef, calls: list[ast.Call], *, is_method: bool) -> None:
        given = [*function.args.posonlyargs, *function.args.args]
        is_static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in function.decorator_list)
        positional = given[1:] if is_method and not is_static else given
        defaults = dict(zip([one.arg for one in reversed(given)], reversed(function.args.defaults), strict=False))
        defaults |= {
            one.arg: value
            for one, value in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
            if value is not None
        }
        for name, value in defaults.items():
            self._bound[name].append(value)
        for call in calls:
            for parameter, value in zip(positional, call.args, strict=False):
                if isinstance(value, ast.Starred):
                    self._unknown.add(parameter.arg)
                self._bound[parameter.arg].append(value)
            if any(keyword.arg is None for keyword in call.keywords):
                self._unknown |= {one.arg for one in [*positional, *function.args.kwonlyargs]}

    def _strings(self, node: ast.expr, seen: frozenset[str], depth: int) -> set[str] | None:
        match node:
            case _ if depth > _MAX_DEPTH:
                return None
            case ast.Constant(value=str() as text):
                return {text}
            case ast.Constant():
                return set()  # no name at all: getattr refuses it
            case ast.Name() | ast.Attribute():
                name = node.id if isinstance(node, ast.Name) else f".{node.attr}"
                return self._of_name(name, seen, depth)
            case _:
                parts = _parts(node)
                return self._union(parts, seen, depth) if parts is not None else None

    def _of_name(self, name: str, seen: frozenset[str], depth: int) -> set[str] | None:
        if name in seen:
            return set()
        bound = self._bound.get(name, [])
        return self._union(bound, seen | {name}, depth) if bound and name not in self._unknown else None

    def _union(self, nodes: list[ast.expr], seen: frozenset[str], depth: int) -> set[str] | None:
        found: set[str] = set()
        for node in nodes:
            strings = self._strings(node, seen, depth + 1)
            if strings is None:
                return None
            found |= strings
        return found


def _parts(node: ast.expr) -> list[ast.expr] | None:
    """The expressions one of which another stands for, or that it holds; ``None`` for what makes something new."""
    match node:
        case ast.IfExp(body=one, orelse=other):
            return [one, other]
        case ast.BoolOp(values=values) | ast.Dict(values=values):
            return values
        case ast.Tuple(elts=values) | ast.List(elts=values) | ast.Set(elts=values):
            return values
        case ast.Subscript(value=owner):
            return [owner]
        case ast.Call(func=ast.Attribute(value=owner, attr="get"), args=[_, *default]):
            return [owner, *default]
        case _:
            return None


def _called(call: ast.Call) -> str:
    text = ast.unparse(call.func)
    return "super().__init__" if text.startswith("super(") and text.endswith(".__init__") else text.split(".")[-1]


def _bindings(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names with what is bound to them by a statement or a keyword."""
    if isinstance(node, ast.keyword) and node.arg is not None:
        yield node.arg, node.value
    elif isinstance(node, ast.NamedExpr):
        yield node.target.id, node.value
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _targets(target, node.value)
    elif isinstance(node, ast.AnnAssign | ast.AugAssign) and node.value is not None:
        yield from _targets(node.target, node.value)
    elif isinstance(node, ast.For | ast.comprehension):
        yield from _targets(node.target, node.iter)


def _targets(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Attribute):
        yield f".{target.attr}", value
    elif isinstance(target, ast.Tuple | ast.List):
        alike = isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts)
        for number, element in enumerate(target.elts):
            yield from _targets(element, value.elts[number] if alike else value)  # type: ignore[attr-defined]
    elif isinstance(target, ast.Subscript):
        yield from _targets(target.value, value)
