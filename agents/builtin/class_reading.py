"""What one ``nn.Module`` of a source is made of: its members, how wide they are, its residual sum."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import libcst as cst

from agents.builtin import syntax
from agents.builtin.residual_sum import SHORTCUT_NAMES, ResidualSum, find_residual_sum
from agents.builtin.size_inference import Roles, Scope, methods
from agents.builtin.torch_layers import Role, Signature, layer_name, layer_signature


class ClassReading:
    """One class of a module. Expressions in answers are valid at the end of its ``__init__``."""

    def __init__(self, roles: Roles, name: str) -> None:
        self.roles = roles
        self.name = name
        self.node = roles.classes[name]
        self.methods = methods(self.node)

    @property
    def init(self) -> cst.FunctionDef | None:
        """``__init__``, where the class has one."""
        return self.methods.get("__init__")

    @property
    def forward(self) -> cst.FunctionDef | None:
        """``forward``, where the class has one."""
        return self.methods.get("forward")

    @cached_property
    def signature(self) -> Signature:
        """The parameters of ``__init__`` and their roles."""
        return self.roles.class_signature(self.name)

    @property
    def widths(self) -> tuple[str, ...]:
        """The parameters that are widths: the first goes in; the last comes out, as a rule."""
        return self.signature.of_role(Role.WIDTH)

    @property
    def stride(self) -> str:
        """The parameter that is the stride, ``""`` where there is none."""
        return next(iter(self.signature.of_role(Role.STRIDE)), "")

    @property
    def kernel(self) -> str:
        """The parameter that is the kernel size, ``""`` where there is none."""
        return next(iter(self.signature.of_role(Role.KERNEL)), "")

    @cached_property
    def members(self) -> dict[str, list[cst.BaseExpression]]:
        """What ``__init__`` sets each attribute to; several values where it branches."""
        found: dict[str, list[cst.BaseExpression]] = {}
        for node in syntax.walk(self.init.body) if self.init else ():
            targets = [target.target for target in node.targets] if isinstance(node, cst.Assign) else []
            for target in targets:
                if (name := syntax.self_attribute(target)) and isinstance(node, cst.Assign):
                    found.setdefault(name, []).append(node.value)
        return found

    @cached_property
    def attributes(self) -> set[str]:
        """Every name that follows ``self.`` anywhere in the class, and its methods."""
        used = {syntax.self_attribute(node) for node in syntax.walk(self.node) if isinstance(node, cst.Attribute)}
        return (used | set(self.methods)) - {""}

    @cached_property
    def input(self) -> str:
        """The name of what ``forward`` is given, ``""`` where there is no forward."""
        names = syntax.parameter_names(self.forward) if self.forward else ()
        return names[0] if names else ""

    @cached_property
    def result(self) -> cst.BaseExpression | None:
        """What ``forward`` returns at its end."""
        found = None
        for node in syntax.walk(self.forward.body) if self.forward else ():
            if isinstance(node, cst.Return) and node.value is not None:
                found = node.value
        return found

    @cached_property
    def order(self) -> dict[cst.CSTNode, int]:
        """The nodes of ``forward`` with their places in the source."""
        return {node: i for i, node in enumerate(syntax.walk(self.forward.body))} if self.forward else {}

    @cached_property
    def _assignments(self) -> list[tuple[str, cst.Assign, int]]:
        """Variable, assignment, and the place of the assignment's last node in ``forward``."""
        return [
            (syntax.dotted(target.target), node, max(self.order[inner] for inner in syntax.walk(node)))
            for node in self.order
            if isinstance(node, cst.Assign)
            for target in node.targets
        ]

    def definition(self, name: str, before: cst.CSTNode) -> cst.BaseExpression | None:
        """What a variable of ``forward`` was last set to before ``before``; ``None`` for the input as given."""
        found = None
        for variable, assignment, end in self._assignments:
            if variable == name and end < self.order[before]:
                found = assignment.value
        return found

    @cached_property
    def sum(self) -> ResidualSum | None:
        """The last residual sum of ``forward``, ``None`` where there is none."""
        return find_residual_sum(list(self.order), self.input, self.definition)

    @property
    def tail(self) -> cst.BaseExpression | None:
        """The value a module can be put behind: the branch of the residual sum, else the result."""
        return self.sum.branch if self.sum else self.result

    @cached_property
    def output_width(self) -> str:
        """How wide the result is, in terms of the parameters; ``""`` where that is unknown."""
        known = self.width_of(self.result) if self.result is not None else ""
        return known or (self.widths[-1] if self.widths else "")

    def width_of(self, node: cst.BaseExpression, depth: int = 0) -> str:
        """How wide a value in ``forward`` is, as an expression; ``""`` where that is unknown."""
        if depth > 30:
            return ""
        if isinstance(node, cst.Name):
            defined = self.definition(node.value, node)
            if defined is not None:
                return self.width_of(defined, depth + 1)
            return self.widths[0] if node.value == self.input and self.widths else ""
        if isinstance(node, cst.BinaryOperation):
            return self.width_of(node.left, depth + 1) or self.width_of(node.right, depth + 1)
        if not isinstance(node, cst.Call):
            return ""
        for value in self.members.get(syntax.self_attribute(node.func), ()):
            if width := self.built_width(value):
                return width
        is_function = syntax.self_attribute(node.func) or syntax.dotted(node.func).split(".")[0] in ("F", "torch")
        return self.width_of(node.args[0].value, depth + 1) if is_function and node.args else ""

    def built_width(self, value: cst.BaseExpression) -> str:
        """How wide the output of a module is that ``__init__`` builds; ``""`` where it does not change the width."""
        if self.init is None:
            return ""
        width = constructed_width(value, Scope(self.node, self.init), self.roles)
        return width if width and self.is_fixed(width) else ""

    def is_fixed(self, expression: str) -> bool:
        """Whether ``expression`` means the same anywhere in ``__init__``: each name in it is set only once."""
        if self.init is None:
            return False
        bindings = self.roles.bindings(Scope(self.node, self.init))
        given = syntax.parameter_names(self.init)
        defaults = {p.name.value for p in syntax.parameters(self.init) if p.default is not None}
        for name in syntax.names_in(expression):
            count = len(bindings.of(name)) + (name in given) - (name in defaults)
            is_constant = name in self.roles.classes or name == "self"
            if name in bindings.comprehended or not (count == 1 or (count == 0 and is_constant)):
                return False
        return True

    @cached_property
    def shortcut_members(self) -> set[str]:
        """The attributes the shortcut passes through."""
        if self.sum is None:
            return set()
        return {syntax.self_attribute(call.func) for call in syntax.calls(self.sum.shortcut)} - {""}

    @cached_property
    def convolutions(self) -> list[cst.Call]:
        """The 2-D convolutions ``__init__`` builds for the branch, in source order."""
        found = []
        for name, values in self.members.items():
            if name not in self.shortcut_members and not any(hint in name for hint in SHORTCUT_NAMES):
                found += [call for value in values for call in syntax.calls(value) if layer_name(call.func) == "Conv2d"]
        return found

    def executed(self) -> Iterator[tuple[cst.Call, cst.Call]]:
        """The layers of the branch in the order ``forward`` runs them, each with the call that runs it.

        Sequences are taken apart: their layers are run by one call.
        """
        for call in syntax.executed_calls(self.forward.body) if self.forward else ():
            name = syntax.self_attribute(call.func)
            if name not in self.shortcut_members:
                for value in self.members.get(name, ())[:1]:
                    for layer in _leaves(value):
                        yield call, layer

    def flows_straight(self, first: cst.Call, second: cst.Call) -> bool:
        """Whether what one call of ``forward`` gives goes into another, through members alone, and nowhere else."""
        node: cst.BaseExpression = second
        while node is not first:
            if isinstance(node, cst.Call):
                is_known = syntax.self_attribute(node.func) in self.members or syntax.dotted(node.func).startswith("F.")
                if not is_known or len(node.args) != 1:
                    return False
                node = node.args[0].value
            elif isinstance(node, cst.Name):
                defined = self.definition(node.value, node)
                if defined is None or self._num_uses(node.value, defined) != 1:
                    return False
                node = defined
            else:
                return False
        return True

    def _num_uses(self, variable: str, defined: cst.BaseExpression) -> int:
        names = (node for node in self.order if isinstance(node, cst.Name) and node.value == variable)
        return sum(self.definition(variable, node) is defined for node in names if node not in self._targets)

    @cached_property
    def _targets(self) -> set[cst.CSTNode]:
        return {target.target for _, assignment, _ in self._assignments for target in assignment.targets}


def constructed_width(value: cst.BaseExpression, scope: Scope, roles: Roles) -> str:
    """How wide the output of what ``value`` builds is, as an expression valid in ``scope``; ``""`` if unknown."""
    if isinstance(value, cst.IfExp):
        return constructed_width(value.body, scope, roles) or constructed_width(value.orelse, scope, roles)
    if isinstance(value, cst.ListComp | cst.GeneratorExp):
        return constructed_width(value.elt, scope, roles)
    if not isinstance(value, cst.Call):
        return ""
    names = roles.class_names(value.func, scope)
    called: Signature | None = roles.called(value, scope)
    if names:
        return _substituted(ClassReading(roles, names[0]).output_width, value, called, names[0])
    if layer := layer_signature(value):
        widths = layer.of_role(Role.WIDTH)
        bound = syntax.arguments(value, layer.names)
        return syntax.code(bound[widths[-1]].value) if widths and widths[-1] in bound else ""
    method = methods(scope.owner).get(syntax.self_attribute(value.func))
    function = method or roles.functions.get(syntax.dotted(value.func))
    if function is not None:
        inside = Scope(scope.owner if method else None, function)
        widths_inside = [constructed_width(call, inside, roles) for call in syntax.calls(function.body)]
        return _substituted(next(filter(None, reversed(widths_inside)), ""), value, called, "")
    parts = [argument.value for argument in value.args]
    return next(filter(None, (constructed_width(part, scope, roles) for part in reversed(parts))), "")


def _substituted(width: str, call: cst.Call, signature: Signature | None, owner: str) -> str:
    """A width in terms of the parameters of what is called, in terms of the caller; ``""`` where that fails."""
    if not width or signature is None:
        return ""
    if owner:
        width = width.replace("self.", f"{owner}.")
    bound = syntax.arguments(call, signature.names)
    used = syntax.names_in(width) & set(signature.names)
    if not used <= set(bound):
        return ""
    if width in used:
        return syntax.code(bound[width].value)
    return syntax.code(syntax.renamed(syntax.expression(width), {n: syntax.code(bound[n].value) for n in used}))


def _leaves(value: cst.BaseExpression) -> Iterator[cst.Call]:
    """The layers a value builds, in order: itself, or what a sequence holds."""
    if isinstance(value, cst.Call) and layer_name(value.func) == "Sequential":
        for argument in value.args:
            yield from _leaves(argument.value)
    elif isinstance(value, cst.Call):
        yield value
