"""How a source puts its ``Network`` together: stem, stages of blocks, the end of the backbone, head."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import libcst as cst

from agents.builtin import syntax
from agents.builtin.class_reading import ClassReading
from agents.builtin.size_inference import Roles, Scope, loop_count, methods
from agents.builtin.torch_layers import Role, layer_name

_POOLINGS = {"adaptive_avg_pool2d", "avg_pool2d", "adaptive_max_pool2d", "mean", "flatten", "amax"}
_NO_TENSORS = {"self", "F", "torch", "nn"}


@dataclass(frozen=True)
class Stage:
    """A run of blocks the network holds as ``self.<name>``.

    ``statement`` builds it; ``width`` is that of its output, an expression valid behind the statement (``""`` where
    unknown); ``blocks`` are the classes it is built of, in source order.
    """

    name: str
    statement: cst.SimpleStatementLine
    value: cst.Call
    width: str
    blocks: tuple[str, ...]


class NetworkReading:
    """The ``Network`` of a module."""

    def __init__(self, module: cst.Module) -> None:
        self.module = module
        self.roles = Roles(module)

    def read(self, name: str) -> ClassReading:
        """One class of the module."""
        return self._readings.setdefault(name, ClassReading(self.roles, name))

    @cached_property
    def _readings(self) -> dict[str, ClassReading]:
        return {}

    @property
    def exists(self) -> bool:
        """Whether there is a ``Network`` with an ``__init__`` and a ``forward``."""
        found = self.roles.classes.get("Network")
        return found is not None and {"__init__", "forward"} <= set(methods(found))

    @property
    def network(self) -> ClassReading:
        """The network's class."""
        return self.read("Network")

    @property
    def scope(self) -> Scope:
        """The network's ``__init__``."""
        assert self.network.init is not None
        return Scope(self.network.node, self.network.init)

    @property
    def forward(self) -> cst.FunctionDef:
        """The network's ``forward``."""
        assert self.network.forward is not None
        return self.network.forward

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The stages in the order they are built, found by their repetition of blocks."""
        found = []
        for statement in self.scope.function.body.body:
            if not isinstance(statement, cst.SimpleStatementLine) or not isinstance(statement.body[0], cst.Assign):
                continue
            assignment = statement.body[0]
            name, value = syntax.self_attribute(assignment.targets[0].target), assignment.value
            if name and isinstance(value, cst.Call) and (blocks := self._repeated_blocks(value, self.scope)):
                width = self.network.built_width(value)
                found.append(Stage(name, statement, value, width, tuple(dict.fromkeys(blocks))))
        return tuple(found)

    def _repeated_blocks(self, value: cst.Call, scope: Scope) -> list[str]:
        sites = list(self.sites(value, scope))
        is_loop = any(role is Role.REPEATS for role, _ in self._positions(value, scope))
        return [name for site in sites for name in site.names] if is_loop or len(sites) > 1 else []

    def _positions(self, value: cst.Call, scope: Scope) -> Iterator[tuple[Role, cst.BaseExpression]]:
        for node in syntax.walk(value):
            if isinstance(node, cst.Call):
                yield from self.roles.argument_roles(node, scope)
            elif isinstance(node, cst.CompFor) and (count := loop_count(node)) is not None:
                yield Role.REPEATS, count

    def sites(self, value: cst.CSTNode, scope: Scope) -> Iterator[Site]:
        """Where the blocks in ``value`` are built, also inside the method it calls."""
        for call in syntax.calls(value):
            names = self.roles.class_names(call.func, scope)
            if names and any(True for argument in call.args for _ in self.sites(argument, scope)):
                continue  # it joins blocks and is none itself
            blocks = [name for name in names if self.read(name).widths and self.read(name).forward]
            if blocks and Role.REPEATS not in self.read(blocks[0]).signature.roles.values():
                yield Site(call, scope, tuple(blocks))
            elif names:
                owner = self.roles.classes[names[0]]
                if init := methods(owner).get("__init__"):
                    yield from self.sites(init.body, Scope(owner, init)) if blocks else ()
            elif method := methods(scope.owner).get(syntax.self_attribute(call.func)):
                passed = _passed_blocks(call, method, self.roles)
                for site in self.sites(method.body, Scope(scope.owner, method)):
                    yield Site(site.call, site.scope, passed or site.names)

    @cached_property
    def blocks(self) -> tuple[str, ...]:
        """The classes the stages are built of, without those that only join or follow blocks, in source order."""
        names = [name for stage in self.stages for name in stage.blocks]
        if not names:
            names = [name for site in self._looped_sites() for name in site.names]
        return tuple(name for name in self.roles.classes if name in names)

    def _looped_sites(self) -> Iterator[Site]:
        """Blocks built in the loops of a network that names no stages."""
        for method in self.network.methods.values():
            for loop in syntax.walk(method.body):
                if isinstance(loop, cst.For | cst.ListComp | cst.GeneratorExp):
                    yield from self.sites(loop, Scope(self.network.node, method))

    @cached_property
    def stem(self) -> str:
        """The attribute the image goes through first, ``""`` where that is no attribute."""
        for call in syntax.executed_calls(self.forward.body):
            if name := syntax.self_attribute(call.func):
                return name
        return ""

    @cached_property
    def stem_class(self) -> str:
        """The class of the stem, ``""`` where it is built of plain layers."""
        for value in self.network.members.get(self.stem, ()):
            if isinstance(value, cst.Call) and (names := self.roles.class_names(value.func, self.scope)):
                return names[0]
        return ""

    @cached_property
    def head(self) -> tuple[str, cst.Call] | None:
        """The attribute that ends in the classes and its linear layer; ``None`` where there is none."""
        classes = next(iter(syntax.parameter_names(self.scope.function)), "")
        found = None
        for name, values in self.network.members.items():
            for call in (call for value in values for call in syntax.calls(value)):
                is_last = any(syntax.dotted(argument.value) == classes for argument in call.args)
                if is_last and layer_name(call.func) == "Linear":
                    found = (name, call)
        return found

    def call_of(self, attribute: str) -> cst.Call | None:
        """Where ``forward`` calls a member, ``None`` unless exactly once."""
        found = [call for call in syntax.calls(self.forward.body) if syntax.self_attribute(call.func) == attribute]
        return found[0] if len(found) == 1 else None

    @cached_property
    def backbone_end(self) -> cst.BaseExpression | None:
        """The last feature map of ``forward``: what is pooled, flattened or handed to the head."""
        stages = {stage.name for stage in self.stages}
        order = list(syntax.executed_calls(self.forward.body))
        last = max((i for i, call in enumerate(order) if syntax.self_attribute(call.func) in stages), default=-1)
        for call in order[last + 1 :]:
            if self._pools(call):
                if isinstance(call.func, cst.Attribute) and syntax.dotted(call.func).split(".")[0] not in _NO_TENSORS:
                    return call.func.value
                return call.args[0].value if call.args else None
        return None

    def _pools(self, call: cst.Call) -> bool:
        attribute = syntax.self_attribute(call.func)
        if attribute:
            values = self.network.members.get(attribute, [])
            built = {layer_name(inner.func) for value in values for inner in syntax.calls(value)}
            is_head = self.head is not None and attribute == self.head[0]
            return is_head or bool(built & {"AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "Flatten"})
        return isinstance(call.func, cst.Attribute) and call.func.attr.value in _POOLINGS

    @cached_property
    def end_width(self) -> str:
        """How wide the last feature map is, an expression valid before the head is built; ``""`` if unknown."""
        if self.head is not None:
            arguments = syntax.arguments(self.head[1], ("in_features", "out_features"))
            if "in_features" in arguments:
                width = syntax.code(arguments["in_features"].value)
                return width if self.network.is_fixed(width) else ""
        return self.stages[-1].width if self.stages else ""


@dataclass(frozen=True)
class Site:
    """A call that builds a block, the function it is in, and the classes it can build."""

    call: cst.Call
    scope: Scope
    names: tuple[str, ...]


def _passed_blocks(call: cst.Call, method: cst.FunctionDef, roles: Roles) -> tuple[str, ...]:
    """The classes a stage hands to the method that builds it."""
    bound = syntax.arguments(call, syntax.parameter_names(method))
    names = [syntax.dotted(argument.value) for argument in bound.values()]
    return tuple(name for name in names if name in roles.classes)
