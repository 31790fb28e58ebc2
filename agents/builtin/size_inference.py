"""Infers the use of each number in a source: width, repeats, stride, kernel, groups.

Nothing in ``Stem(3, 16)`` says that 16 is a width; it is one because ``Stem`` passes its second parameter to a
convolution. Every use is found this way, through local variables, lists, loops, defaults, methods and classes,
whatever their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import libcst as cst
import libcst.matchers as m

from agents.builtin import syntax
from agents.builtin.torch_layers import Signature, SizeUse, created_sizes, layer_signature

_MAX_INPUT_WIDTH = 3
"""Widths up to this are channels of the input images and are never scaled."""

_ROUNDING = {"int", "round", "float", "max", "min", "abs", "math.ceil", "math.floor"}

Origin = cst.Integer | str
"""Where a number comes from: a literal, or a parameter by name."""

Path = tuple[int | None, ...]
"""A path into nested containers: an index for each level, ``None`` for any element."""

Bound = tuple[cst.BaseExpression, Path]
"""An expression, and the path from its value to the bound one."""


@dataclass(frozen=True)
class Scope:
    """A function, with the class it is a method of."""

    owner: cst.ClassDef | None
    function: cst.FunctionDef


class SizeInference:
    """The uses of the numbers in one module."""

    def __init__(self, module: cst.Module) -> None:
        self.module = module
        self._signatures: dict[cst.FunctionDef, Signature] = {}
        self._bindings: dict[cst.FunctionDef, Bindings] = {}
        self._class_names: dict[cst.BaseExpression, list[str]] = {}

    @cached_property
    def classes(self) -> dict[str, cst.ClassDef]:
        """The classes with an ``__init__`` or a ``forward``, by name, in source order."""
        nodes = (node for node in self.module.body if isinstance(node, cst.ClassDef))
        return {node.name.value: node for node in nodes if {"__init__", "forward"} & set(methods(node))}

    @cached_property
    def functions(self) -> dict[str, cst.FunctionDef]:
        """The functions of the module by name, in source order."""
        return {node.name.value: node for node in self.module.body if isinstance(node, cst.FunctionDef)}

    def signature(self, function: cst.FunctionDef, owner: cst.ClassDef | None = None) -> Signature:
        """The parameters of a function, with their uses in it."""
        if function not in self._signatures:
            names = syntax.parameter_names(function)
            self._signatures[function] = Signature(names, {})  # ends the recursion of classes that build each other
            scope = Scope(owner, function)
            uses: dict[str, SizeUse] = {}
            for use, node in self.positions(function.body, scope):
                for origin in self.origins(node, scope):
                    if isinstance(origin, str) and uses.get(origin) in (None, SizeUse.KERNEL):
                        uses[origin] = use
            self._signatures[function] = Signature(names, uses)
        return self._signatures[function]

    def class_signature(self, name: str) -> Signature:
        """The parameters of the ``__init__`` of a class."""
        node = self.classes[name]
        init = methods(node).get("__init__")
        return Signature((), {}) if init is None else self.signature(init, node)

    def called(self, call: cst.Call, scope: Scope) -> Signature | None:
        """The signature of what ``call`` calls; ``None`` if unknown."""
        if method := methods(scope.owner).get(syntax.self_attribute(call.func)):
            return self.signature(method, scope.owner)
        for name in self.class_names(call.func, scope):
            return self.class_signature(name)
        if function := self.functions.get(syntax.dotted(call.func)):
            return self.signature(function)
        return layer_signature(call)

    def class_names(
        self, node: cst.BaseExpression, scope: Scope, seen: frozenset[cst.CSTNode] = frozenset()
    ) -> list[str]:
        """The classes of the module an expression can stand for: one by name, several for a parameter."""
        if node not in self._class_names:
            name = syntax.dotted(node)
            found = [name] if name in self.classes else []
            is_variable = name not in self.classes and ("." not in name or name.startswith("self."))
            for value in self._values(node, scope) if is_variable and node not in seen else ():
                found += [known for known in self.class_names(value, scope, seen | {node}) if known not in found]
            self._class_names[node] = found
        return self._class_names[node]

    def _values(self, node: cst.BaseExpression, scope: Scope) -> Iterator[cst.BaseExpression]:
        """All values assigned to a variable, or to a parameter of a method, in its class."""
        name, parameters = syntax.dotted(node), syntax.parameter_names(scope.function)
        yield from (value for value, path in self.bindings(scope).of(name) if not path and value is not node)
        if name not in parameters:
            return
        for caller in methods(scope.owner).values():
            for call in syntax.calls(caller.body):
                argument = syntax.arguments(call, parameters).get(name)
                is_own = syntax.self_attribute(call.func) == scope.function.name.value
                if is_own and caller is not scope.function and argument is not None:
                    yield argument.value

    def bindings(self, scope: Scope) -> Bindings:
        """The bindings of the names in a function."""
        if scope.function not in self._bindings:
            others = [method for method in methods(scope.owner).values() if method is not scope.function]
            self._bindings[scope.function] = Bindings(self.module, scope.function, others)
        return self._bindings[scope.function]

    def positions(self, root: cst.CSTNode, scope: Scope) -> Iterator[tuple[SizeUse, cst.BaseExpression]]:
        """All expressions in ``root``, a part of a function, whose use is known."""
        for node in syntax.walk(root):
            if isinstance(node, cst.For | cst.CompFor):
                repeats = loop_count(node)
                if repeats is not None and not self._repeats_inside(node, scope):
                    yield SizeUse.REPEATS, repeats
            elif isinstance(node, cst.Call):
                yield from self.argument_uses(node, scope)
            elif m.matches(node, m.BinaryOperation(m.List(), m.Multiply())):  # [stride] + [1] * (num_blocks - 1)
                yield SizeUse.REPEATS, cst.ensure_type(node, cst.BinaryOperation).right

    def argument_uses(self, call: cst.Call, scope: Scope) -> Iterator[tuple[SizeUse, cst.BaseExpression]]:
        """The arguments of one call whose use is known."""
        yield from ((SizeUse.WIDTH, size) for size in created_sizes(call))
        signature = self.called(call, scope)
        if signature is not None:
            for name, argument in syntax.arguments(call, signature.names).items():
                if name in signature.uses:
                    yield signature.uses[name], argument.value

    def _repeats_inside(self, loop: cst.For | cst.CompFor, scope: Scope) -> bool:
        if not isinstance(loop, cst.For):
            return False
        inner = (node for node in syntax.walk(loop.body) if isinstance(node, cst.For | cst.CompFor))
        if any(loop_count(node) is not None for node in inner):
            return True
        uses = (use for call in syntax.calls(loop.body) for use, _ in self.argument_uses(call, scope))
        return SizeUse.REPEATS in uses

    def origins(
        self, node: cst.BaseExpression, scope: Scope, path: Path = (), seen: frozenset[object] = frozenset()
    ) -> Iterator[Origin]:
        """The literals and parameters that the size of ``node`` comes from.

        A factor is no origin: in ``width * 4`` only ``width`` is, in ``4 * 16`` only 16. Every element of a list is
        one. ``path`` leads into containers, see :class:`Bindings`.
        """
        if (node, path) in seen:
            return
        seen = seen | {(node, path)}
        for next_node, next_path in self._sources(node, scope, path):
            yield from self.origins(next_node, scope, next_path, seen)
        if isinstance(node, cst.Integer) and not path:
            yield node
        elif isinstance(node, cst.Name) and node.value in syntax.parameter_names(scope.function):
            yield node.value

    def _sources(self, node: cst.BaseExpression, scope: Scope, path: Path) -> Iterator[tuple[cst.BaseExpression, Path]]:
        if isinstance(node, cst.Name | cst.Attribute):
            for value, extra in self.bindings(scope).of(syntax.dotted(node)):
                yield value, (*extra, *path)
        elif isinstance(node, cst.IfExp):
            yield from ((branch, path) for branch in (node.body, node.orelse))
        elif path or isinstance(node, cst.Subscript):
            yield from self.bindings(scope).into(node, path)
        elif isinstance(node, cst.Tuple | cst.List):
            yield from ((element.value, path) for element in node.elements)
        elif isinstance(node, cst.BinaryOperation):
            yield from ((operand, path) for operand in self._sized_operands(node, scope))
        elif isinstance(node, cst.Call) and syntax.dotted(node.func) in _ROUNDING and node.args:
            yield node.args[0].value, path

    def _sized_operands(self, node: cst.BinaryOperation, scope: Scope) -> list[cst.BaseExpression]:
        """The operands that carry the size; the others only scale it."""
        if isinstance(node.operator, cst.Add):
            return [node.left, node.right]
        if not isinstance(node.operator, cst.Multiply):
            return [node.left]
        left, right = syntax.integer(node.left), syntax.integer(node.right)
        if left is not None and right is not None:
            return [node.left if left >= right else node.right]
        named = [operand for operand, value in ((node.left, left), (node.right, right)) if value is None]
        if len(named) == 2 or any(True for _ in self.origins(named[0], scope)):
            return named
        return [node.left if left is not None else node.right]

    def literals(self, use: SizeUse, owner: str = "Network") -> list[cst.Integer]:
        """The integer literals of one use in a class, in source order.

        The default number of classes and the channels of the input images are left out.
        """
        node = self.classes.get(owner)
        found: set[cst.CSTNode] = set()
        for function in methods(node).values():
            if function.name.value != "forward":
                scope = Scope(node, function)
                for position_use, position in self.positions(function.body, scope):
                    found |= self._literal_origins(position, scope) if position_use is use else set()
        literals = [node for node in syntax.walk(self.module) if isinstance(node, cst.Integer) and node in found]
        if use is SizeUse.WIDTH:
            literals = [node for node in literals if (syntax.integer(node) or 0) > _MAX_INPUT_WIDTH]
        return literals

    def _literal_origins(self, node: cst.BaseExpression, scope: Scope) -> set[cst.CSTNode]:
        is_init = scope.function.name.value == "__init__"
        excluded = {given.default for given in syntax.parameters(scope.function)[:1] if is_init}
        found = (origin for origin in self.origins(node, scope) if isinstance(origin, cst.Integer))
        return {origin for origin in found if origin not in excluded}


def methods(node: cst.ClassDef | None) -> dict[str, cst.FunctionDef]:
    """The methods of a class by name, in source order; empty for ``None``."""
    found = [] if node is None else [item for item in node.body.body if isinstance(item, cst.FunctionDef)]
    return {item.name.value: item for item in found}


def loop_count(loop: cst.For | cst.CompFor) -> cst.BaseExpression | None:
    """``n`` of a loop over ``range(n)`` or ``range(1, n)``."""
    iterated = loop.iter
    if isinstance(iterated, cst.Call) and syntax.dotted(iterated.func) == "range" and 1 <= len(iterated.args) <= 2:
        return iterated.args[-1].value
    return None


class Bindings:
    """The bindings of one function, in any order: assignments, loops, defaults, globals.

    Attributes of ``self`` are collected over all methods of the class. ``comprehended`` holds the names that exist
    only inside a comprehension.
    """

    def __init__(self, module: cst.Module, function: cst.FunctionDef, others: Sequence[cst.FunctionDef] = ()) -> None:
        self._bound: dict[str, list[Bound]] = {}
        self.comprehended: set[str] = set()
        for parameter in syntax.parameters(function):
            if parameter.default is not None:
                self._bind(parameter.name, parameter.default, ())
        for node in syntax.walk(function.body):
            self._read(node)
        local = set(self._bound)
        for other in others:
            for node in syntax.walk(other.body):
                self._read(node, attributes_only=True)
        for statement in module.body:
            if isinstance(statement, cst.SimpleStatementLine):
                for node in statement.body:
                    self._read(node, hidden=local | set(syntax.parameter_names(function)))

    def of(self, name: str) -> list[Bound]:
        """The values bound to ``name`` (or ``self.name``); empty if unknown."""
        return self._bound.get(name, [])

    def into(self, node: cst.BaseExpression, path: Path) -> Iterator[Bound]:
        """The values that the element of ``node`` at ``path`` is made of, one level down."""
        if isinstance(node, cst.Subscript):
            yield from _read_subscript(node, path)
        elif not path:
            return
        elif isinstance(node, cst.List | cst.Tuple):
            yield from ((element.value, path[1:]) for element in _elements(node, path[0]))
        elif isinstance(node, cst.BinaryOperation):
            operands = [node.left, node.right] if isinstance(node.operator, cst.Add) else [node.left]
            yield from ((operand, (None, *path[1:])) for operand in operands)
        elif isinstance(node, cst.ListComp | cst.GeneratorExp):
            yield node.elt, path[1:]
        elif isinstance(node, cst.Call):
            yield from _read_iteration(node, path)

    def _read(self, node: cst.CSTNode, *, attributes_only: bool = False, hidden: set[str] | None = None) -> None:
        pairs: list[tuple[cst.BaseExpression, cst.BaseExpression, Path]] = []
        if isinstance(node, cst.Assign):
            pairs = [(target.target, node.value, ()) for target in node.targets]
        elif isinstance(node, cst.AnnAssign) and node.value is not None:
            pairs = [(node.target, node.value, ())]
        elif isinstance(node, cst.For | cst.CompFor):
            pairs = [(node.target, node.iter, (None,))]
        for target, value, path in pairs:
            is_name = isinstance(target, cst.Name)
            if is_name and (attributes_only or (hidden is not None and syntax.dotted(target) in hidden)):
                continue
            self._bind(target, value, path)
            if isinstance(node, cst.CompFor):
                self.comprehended.update(n.value for n in syntax.walk(target) if isinstance(n, cst.Name))

    def _bind(self, target: cst.BaseExpression, value: cst.BaseExpression, path: Path) -> None:
        if isinstance(target, cst.Tuple | cst.List):
            for index, element in enumerate(target.elements):
                self._bind(element.value, value, (*path, index))
        elif name := syntax.dotted(target):
            self._bound.setdefault(name, []).append((value, path))


def _elements(node: cst.List | cst.Tuple, index: int | None) -> list[cst.BaseElement]:
    if index is None:
        return list(node.elements)
    return list(node.elements[index : index + 1 or None])


def _read_subscript(node: cst.Subscript, path: Path) -> Iterator[Bound]:
    if len(node.slice) != 1:
        return
    part = node.slice[0].slice
    if isinstance(part, cst.Index):
        yield node.value, (syntax.integer(part.value), *path)
    elif path:
        yield node.value, (None, *path[1:])


def _read_iteration(node: cst.Call, path: Path) -> Iterator[Bound]:
    name = syntax.dotted(node.func)
    arguments = [argument.value for argument in node.args]
    if name == "zip" and len(path) > 1 and path[1] is not None and path[1] < len(arguments):
        yield arguments[path[1]], (path[0], *path[2:])
    elif name == "enumerate" and len(path) > 1 and path[1] == 1 and arguments:
        yield arguments[0], (path[0], *path[2:])
    elif name in ("list", "tuple", "reversed", "sorted") and arguments:
        yield arguments[0], (None, *path[1:])
