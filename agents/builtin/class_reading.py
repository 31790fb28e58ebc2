"""One ``nn.Module`` of a source: its members, their widths, its residual sum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import libcst as cst

from agents.builtin import syntax
from agents.builtin.size_inference import Scope, SizeInference, methods
from agents.builtin.torch_layers import Signature, SizeUse, layer_name, layer_signature

SHORTCUT_NAMES = ("shortcut", "skip", "downsample", "identity", "residual", "proj")
"""Parts of the names of shortcuts."""


@dataclass(frozen=True)
class ResidualSum:
    """``branch + shortcut``: ``node`` is the addition; of several branches, ``branch`` is the first."""

    node: cst.BinaryOperation
    branch: cst.BaseExpression
    shortcut: cst.BaseExpression


class ClassReading:
    """One class of a source. Returned expressions are valid at the end of its ``__init__``."""

    def __init__(self, sizes: SizeInference, name: str) -> None:
        self.sizes = sizes
        self.name = name
        self.node = sizes.classes[name]
        self.methods = methods(self.node)
        self.init = self.methods.get("__init__")
        self.forward = self.methods.get("forward")

    @cached_property
    def signature(self) -> Signature:
        """The parameters of ``__init__`` and their uses."""
        return self.sizes.class_signature(self.name)

    @property
    def widths(self) -> tuple[str, ...]:
        """The parameters that are widths: the first of the input, the last usually of the output."""
        return self.signature.of_use(SizeUse.WIDTH)

    @property
    def stride(self) -> str:
        """The parameter that is the stride, or ``""``."""
        return next(iter(self.signature.of_use(SizeUse.STRIDE)), "")

    @property
    def kernel(self) -> str:
        """The parameter that is the kernel size, or ``""``."""
        return next(iter(self.signature.of_use(SizeUse.KERNEL)), "")

    @cached_property
    def members(self) -> dict[str, list[cst.BaseExpression]]:
        """The values ``__init__`` gives each attribute; several if it branches."""
        found: dict[str, list[cst.BaseExpression]] = {}
        for node in syntax.walk(self.init.body) if self.init else ():
            if isinstance(node, cst.Assign):
                for target in node.targets:
                    if name := syntax.self_attribute(target.target):
                        found.setdefault(name, []).append(node.value)
        return found

    @cached_property
    def attributes(self) -> set[str]:
        """The names of all attributes and methods."""
        used = {syntax.self_attribute(node) for node in syntax.walk(self.node) if isinstance(node, cst.Attribute)}
        return (used | set(self.methods)) - {""}

    @cached_property
    def input(self) -> str:
        """The first parameter of ``forward``, or ``""``."""
        names = syntax.parameter_names(self.forward) if self.forward else ()
        return names[0] if names else ""

    @cached_property
    def result(self) -> cst.BaseExpression | None:
        """The expression that the last ``return`` of ``forward`` returns."""
        returns = [node.value for node in self.order if isinstance(node, cst.Return) and node.value is not None]
        return returns[-1] if returns else None

    @cached_property
    def order(self) -> dict[cst.CSTNode, int]:
        """The nodes of ``forward`` with their positions in the source."""
        return {node: i for i, node in enumerate(syntax.walk(self.forward.body))} if self.forward else {}

    @cached_property
    def _assignments(self) -> list[tuple[str, cst.Assign, int]]:
        """Variable, assignment, and the position of the assignment's last node."""
        return [
            (syntax.dotted(target.target), node, max(self.order[inner] for inner in syntax.walk(node)))
            for node in self.order
            if isinstance(node, cst.Assign)
            for target in node.targets
        ]

    def definition(self, name: str, before: cst.CSTNode) -> cst.BaseExpression | None:
        """The value last assigned to a variable before the node ``before``; ``None`` for the unchanged input."""
        found = None
        for variable, assignment, end in self._assignments:
            if variable == name and end < self.order[before]:
                found = assignment.value
        return found

    @cached_property
    def sum(self) -> ResidualSum | None:
        """The last sum of feature maps in ``forward``."""
        found = None
        inner: set[cst.CSTNode] = set()
        for node in self.order:
            if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Add) and node not in inner:
                inner.update(syntax.walk(node))
                terms = list(_terms(node))
                if all(self._is_map(term) for term in terms):
                    # Of equal terms, the last is the shortcut.
                    shortcut = min(reversed(terms), key=lambda term: (not _is_named_shortcut(term), self._depth(term)))
                    found = ResidualSum(node, next(term for term in terms if term is not shortcut), shortcut)
        return found

    def _is_map(self, node: cst.BaseExpression) -> bool:
        """Whether a value depends on the input."""
        names = (inner for inner in syntax.walk(node) if isinstance(inner, cst.Name))
        return any(n.value == self.input or self.definition(n.value, n) is not None for n in names)

    def _depth(self, node: cst.BaseExpression) -> int:
        """The number of members a value has passed through since the input."""
        depth = sum(bool(syntax.self_attribute(call.func)) for call in syntax.calls(node))
        names = {inner.value: inner for inner in syntax.walk(node) if isinstance(inner, cst.Name)}
        defined = (self.definition(name, inner) for name, inner in names.items())
        return depth + sum(self._depth(value) for value in defined if value is not None)

    @property
    def tail(self) -> cst.BaseExpression | None:
        """The value after which a module can be added: the branch of the residual sum, else the result."""
        return self.sum.branch if self.sum else self.result

    @cached_property
    def output_width(self) -> str:
        """The width of the result, in terms of the parameters; ``""`` if unknown."""
        known = self.width_of(self.result) if self.result is not None else ""
        return known or (self.widths[-1] if self.widths else "")

    def width_of(self, node: cst.BaseExpression, depth: int = 0) -> str:
        """The width of a value in ``forward``, as an expression; ``""`` if unknown."""
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
        """The output width of a module that ``__init__`` builds; ``""`` if it does not change the width."""
        if self.init is None:
            return ""
        width = constructed_width(value, Scope(self.node, self.init), self.sizes)
        return width if width and self.is_fixed(width) else ""

    def is_fixed(self, expression: str) -> bool:
        """Whether ``expression`` has one value throughout ``__init__``: each name in it is set only once."""
        if self.init is None:
            return False
        bindings = self.sizes.bindings(Scope(self.node, self.init))
        given = syntax.parameter_names(self.init)
        defaults = {p.name.value for p in syntax.parameters(self.init) if p.default is not None}
        for name in syntax.names_in(expression):
            count = len(bindings.of(name)) + (name in given) - (name in defaults)
            is_constant = name in self.sizes.classes or name == "self"
            if name in bindings.comprehended or not (count == 1 or (count == 0 and is_constant)):
                return False
        return True

    @cached_property
    def shortcut_members(self) -> set[str]:
        """The attributes the shortcut passes through."""
        calls = syntax.calls(self.sum.shortcut) if self.sum else ()
        return {syntax.self_attribute(call.func) for call in calls} - {""}

    @cached_property
    def convolutions(self) -> list[cst.Call]:
        """The 2-D convolutions ``__init__`` builds for the branch, in source order."""
        found = []
        for name, values in self.members.items():
            if name not in self.shortcut_members and not any(hint in name for hint in SHORTCUT_NAMES):
                found += [call for value in values for call in syntax.calls(value) if layer_name(call.func) == "Conv2d"]
        return found

    def executed(self) -> Iterator[tuple[cst.Call, cst.Call]]:
        """(call, layer) for the layers of the branch in the order of execution; one call runs a whole sequence."""
        for call in syntax.executed_calls(self.forward.body) if self.forward else ():
            name = syntax.self_attribute(call.func)
            if name not in self.shortcut_members:
                for value in self.members.get(name, ())[:1]:
                    for layer in _leaves(value):
                        yield call, layer

    def flows_straight(self, first: cst.Call, second: cst.Call) -> bool:
        """Whether the result of the first call reaches the second through members alone, and nothing else uses it."""
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


def constructed_width(value: cst.BaseExpression, scope: Scope, sizes: SizeInference) -> str:
    """The output width of what ``value`` builds, as an expression valid in ``scope``; ``""`` if unknown."""
    if isinstance(value, cst.IfExp):
        return constructed_width(value.body, scope, sizes) or constructed_width(value.orelse, scope, sizes)
    if isinstance(value, cst.ListComp | cst.GeneratorExp):
        return constructed_width(value.elt, scope, sizes)
    if not isinstance(value, cst.Call):
        return ""
    names = sizes.class_names(value.func, scope)
    called: Signature | None = sizes.called(value, scope)
    if names:
        return _substitute(ClassReading(sizes, names[0]).output_width, value, called, names[0])
    if layer := layer_signature(value):
        widths = layer.of_use(SizeUse.WIDTH)
        bound = syntax.arguments(value, layer.names)
        return syntax.code(bound[widths[-1]].value) if widths and widths[-1] in bound else ""
    method = methods(scope.owner).get(syntax.self_attribute(value.func))
    function = method or sizes.functions.get(syntax.dotted(value.func))
    if function is not None:
        inside = Scope(scope.owner if method else None, function)
        widths_inside = [constructed_width(call, inside, sizes) for call in syntax.calls(function.body)]
        return _substitute(next(filter(None, reversed(widths_inside)), ""), value, called, "")
    parts = [argument.value for argument in value.args]
    return next(filter(None, (constructed_width(part, scope, sizes) for part in reversed(parts))), "")


def _substitute(width: str, call: cst.Call, signature: Signature | None, owner: str) -> str:
    """A width in terms of the callee's parameters, rewritten for the caller; ``""`` if that fails."""
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
    """The layer a value builds, or the layers of its sequence."""
    if isinstance(value, cst.Call) and layer_name(value.func) == "Sequential":
        for argument in value.args:
            yield from _leaves(argument.value)
    elif isinstance(value, cst.Call):
        yield value


def _is_named_shortcut(term: cst.BaseExpression) -> bool:
    return any(name in syntax.code(term).lower() for name in SHORTCUT_NAMES)


def _terms(node: cst.BaseExpression) -> Iterator[cst.BaseExpression]:
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Add):
        yield from _terms(node.left)
        yield from _terms(node.right)
    else:
        yield node
