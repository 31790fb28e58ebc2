"""What the numbers in a source stand for, read from where they flow: widths, repeats, strides, kernels, groups.

``Stem(3, 16)`` names no role. That 16 is a width follows from ``Stem`` handing its second parameter to a
convolution. Every role is found this way, through local variables, lists, loops, defaults, methods and classes, so
that names do not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import libcst as cst

from agents.builtin import syntax
from agents.builtin.bindings import Bindings, Path
from agents.builtin.torch_layers import Role, Signature, created_sizes, layer_signature

_MAX_INPUT_WIDTH = 3
"""Widths up to this are those of the images and never scaled."""

_ROUNDING = {"int", "round", "float", "max", "min", "abs", "math.ceil", "math.floor"}


@dataclass(frozen=True)
class Scope:
    """A function, with the class it is a method of."""

    owner: cst.ClassDef | None
    function: cst.FunctionDef


Origin = cst.Integer | str
"""Where a number comes from: a literal, or a parameter by name."""


class Roles:
    """The roles of one module's numbers."""

    def __init__(self, module: cst.Module) -> None:
        self.module = module
        self._signatures: dict[cst.FunctionDef, Signature] = {}
        self._bindings: dict[cst.FunctionDef, Bindings] = {}
        self._class_names: dict[cst.BaseExpression, list[str]] = {}

    @cached_property
    def classes(self) -> dict[str, cst.ClassDef]:
        """The classes of the module with an ``__init__`` or a ``forward``, by name, in source order."""
        nodes = (node for node in self.module.body if isinstance(node, cst.ClassDef))
        return {node.name.value: node for node in nodes if {"__init__", "forward"} & set(methods(node))}

    @cached_property
    def functions(self) -> dict[str, cst.FunctionDef]:
        """The functions of the module by name, in source order."""
        return {node.name.value: node for node in self.module.body if isinstance(node, cst.FunctionDef)}

    def signature(self, function: cst.FunctionDef, owner: cst.ClassDef | None = None) -> Signature:
        """The parameters of a function, with the roles they play in it."""
        if function not in self._signatures:
            names = syntax.parameter_names(function)
            self._signatures[function] = Signature(names, {})  # ends the recursion of classes that build each other
            scope = Scope(owner, function)
            roles: dict[str, Role] = {}
            for role, node in self.positions(scope):
                for origin in self.origins(node, scope):
                    if isinstance(origin, str) and roles.get(origin) in (None, Role.KERNEL):
                        roles[origin] = role
            self._signatures[function] = Signature(names, roles)
        return self._signatures[function]

    def class_signature(self, name: str) -> Signature:
        """The parameters of a class of the module."""
        node = self.classes[name]
        init = methods(node).get("__init__")
        return Signature((), {}) if init is None else self.signature(init, node)

    def called(self, call: cst.Call, scope: Scope) -> Signature | None:
        """The signature of what ``call`` calls; ``None`` where it is unknown."""
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
        """What a variable, or a parameter of a method, is set to anywhere in its class."""
        name = syntax.dotted(node)
        for value, path in self.bindings(scope).of(name):
            if not path and value is not node:
                yield value
        if name not in syntax.parameter_names(scope.function):
            return
        for caller in methods(scope.owner).values():
            for call in syntax.calls(caller.body):
                if syntax.self_attribute(call.func) == scope.function.name.value:
                    argument = syntax.arguments(call, syntax.parameter_names(scope.function)).get(name)
                    if argument is not None and caller is not scope.function:
                        yield argument.value

    def bindings(self, scope: Scope) -> Bindings:
        """What the names in a function are bound to."""
        if scope.function not in self._bindings:
            others = [method for method in methods(scope.owner).values() if method is not scope.function]
            self._bindings[scope.function] = Bindings(self.module, scope.function, others)
        return self._bindings[scope.function]

    def positions(self, scope: Scope) -> Iterator[tuple[Role, cst.BaseExpression]]:
        """Every expression in a function that stands where a role is asked for."""
        for node in syntax.walk(scope.function.body):
            if isinstance(node, cst.For | cst.CompFor):
                repeats = loop_count(node)
                if repeats is not None and not self._repeats_inside(node, scope):
                    yield Role.REPEATS, repeats
            elif isinstance(node, cst.Call):
                yield from self.argument_roles(node, scope)
            elif _is_repeated_list(node):
                assert isinstance(node, cst.BinaryOperation)
                yield Role.REPEATS, node.right

    def argument_roles(self, call: cst.Call, scope: Scope) -> Iterator[tuple[Role, cst.BaseExpression]]:
        """The arguments of one call that have a role."""
        yield from ((Role.WIDTH, size) for size in created_sizes(call))
        signature = self.called(call, scope)
        if signature is None:
            return
        for name, argument in syntax.arguments(call, signature.names).items():
            if name in signature.roles:
                yield signature.roles[name], argument.value

    def _repeats_inside(self, loop: cst.For | cst.CompFor, scope: Scope) -> bool:
        body = loop.body if isinstance(loop, cst.For) else None
        if body is None:
            return False
        inner = (node for node in syntax.walk(body) if isinstance(node, cst.For | cst.CompFor))
        if any(loop_count(node) is not None for node in inner):
            return True
        roles = (role for call in syntax.calls(body) for role, _ in self.argument_roles(call, scope))
        return Role.REPEATS in roles

    def origins(
        self, node: cst.BaseExpression, scope: Scope, path: Path = (), seen: frozenset[object] = frozenset()
    ) -> Iterator[Origin]:
        """The literals and parameters the size of ``node`` goes back to.

        A factor is no origin: in ``width * 4`` only ``width`` is, in ``4 * 16`` only 16. Every element of a list is
        one. ``path`` leads into containers, see :class:`~agents.builtin.bindings.Bindings`.
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
        elif path:
            yield from self.bindings(scope).into(node, path)
        elif isinstance(node, cst.Tuple | cst.List):
            yield from ((element.value, path) for element in node.elements)
        elif isinstance(node, cst.BinaryOperation):
            yield from ((operand, path) for operand in self._sized_operands(node, scope))
        elif isinstance(node, cst.Subscript):
            yield from self.bindings(scope).into(node, path)
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

    def literals(self, role: Role, owner: str = "Network") -> list[cst.Integer]:
        """The integer literals of one role in a class, in source order; the number of classes is none of them.

        For widths, those of the input images are left out.
        """
        node = self.classes.get(owner)
        found: set[cst.CSTNode] = set()
        for function in methods(node).values():
            if function.name.value == "forward":
                continue
            scope = Scope(node, function)
            for position_role, position in self.positions(scope):
                if position_role is role:
                    found.update(self.literal_origins(position, scope))
        ordered = (node for node in syntax.walk(self.module) if node in found)
        literals = [node for node in ordered if isinstance(node, cst.Integer)]
        if role is Role.WIDTH:
            literals = [node for node in literals if (syntax.integer(node) or 0) > _MAX_INPUT_WIDTH]
        return literals

    def literal_origins(self, node: cst.BaseExpression, scope: Scope) -> set[cst.Integer]:
        """The literals the size of ``node`` goes back to, but not the default of the number of classes."""
        excluded = {
            parameter.default
            for parameter in syntax.parameters(scope.function)[:1]
            if scope.function.name.value == "__init__"
        }
        return {
            origin for origin in self.origins(node, scope) if isinstance(origin, cst.Integer) and origin not in excluded
        }


def methods(node: cst.ClassDef | None) -> dict[str, cst.FunctionDef]:
    """The methods of a class by name, in source order; none for ``None``."""
    return (
        {} if node is None else {item.name.value: item for item in node.body.body if isinstance(item, cst.FunctionDef)}
    )


def loop_count(loop: cst.For | cst.CompFor) -> cst.BaseExpression | None:
    """``n`` of a loop over ``range(n)`` or ``range(1, n)``."""
    iterated = loop.iter
    if isinstance(iterated, cst.Call) and syntax.dotted(iterated.func) == "range" and 1 <= len(iterated.args) <= 2:
        return iterated.args[-1].value
    return None


def _is_repeated_list(node: cst.CSTNode) -> bool:
    """Whether ``node`` is ``[…] * n``, the way strides of a stage are often written."""
    return (
        isinstance(node, cst.BinaryOperation)
        and isinstance(node.operator, cst.Multiply)
        and isinstance(node.left, cst.List)
    )
