"""The structure of a source's ``Network``: stem, stages of blocks, end of the backbone, head."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import libcst as cst

from agents.builtin import syntax
from agents.builtin.class_reading import ClassReading
from agents.builtin.size_inference import Scope, SizeInference, methods
from agents.builtin.torch_layers import SizeUse, layer_name

_POOLINGS = {"adaptive_avg_pool2d", "avg_pool2d", "adaptive_max_pool2d", "mean", "flatten", "amax"}
_NO_TENSORS = {"self", "F", "torch", "nn"}


@dataclass(frozen=True)
class Stage:
    """Blocks in series, the member ``self.<name>``.

    ``statement`` builds it; ``width`` is its output width, an expression valid after the statement (``""`` if
    unknown); ``blocks`` are the classes of its blocks, in source order.
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
        self.sizes = SizeInference(module)
        self._readings: dict[str, ClassReading] = {}

    def read(self, name: str) -> ClassReading:
        """One class of the module."""
        if name not in self._readings:
            self._readings[name] = ClassReading(self.sizes, name)
        return self._readings[name]

    @property
    def exists(self) -> bool:
        """Whether there is a ``Network`` with ``__init__`` and ``forward``."""
        found = self.sizes.classes.get("Network")
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
        """The stages in the order they are built, recognised by their repeated blocks."""
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

    @property
    def open_stages(self) -> list[Stage]:
        """The stages after which a module can be added: of known width, and called exactly once."""
        return [stage for stage in self.stages if stage.width and self.call_of(stage.name)]

    def _repeated_blocks(self, value: cst.Call, scope: Scope) -> list[str]:
        sites = list(self.sites(value, scope))
        is_loop = any(use is SizeUse.REPEATS for use, _ in self.sizes.positions(value, scope))
        return [name for site in sites for name in site.names] if is_loop or len(sites) > 1 else []

    def sites(self, value: cst.CSTNode, scope: Scope) -> Iterator[Site]:
        """The calls that build the blocks in ``value``, also inside the method it calls."""
        for call in syntax.calls(value):
            names = self.sizes.class_names(call.func, scope)
            if names and any(True for argument in call.args for _ in self.sites(argument, scope)):
                continue  # it joins blocks
            blocks = [name for name in names if self.read(name).widths and self.read(name).forward]
            if blocks and SizeUse.REPEATS not in self.read(blocks[0]).signature.uses.values():
                yield Site(call, scope, tuple(blocks))
            elif names:
                owner = self.sizes.classes[names[0]]
                if init := methods(owner).get("__init__"):
                    yield from self.sites(init.body, Scope(owner, init)) if blocks else ()
            elif method := methods(scope.owner).get(syntax.self_attribute(call.func)):
                passed = _passed_blocks(call, method, self.sizes)
                for site in self.sites(method.body, Scope(scope.owner, method)):
                    yield Site(site.call, site.scope, passed or site.names)

    @cached_property
    def blocks(self) -> tuple[str, ...]:
        """The classes of the blocks in the stages, in source order."""
        names = [name for stage in self.stages for name in stage.blocks]
        if not names:
            names = [name for site in self._looped_sites() for name in site.names]
        return tuple(name for name in self.sizes.classes if name in names)

    def _looped_sites(self) -> Iterator[Site]:
        """Blocks built in loops, for networks without stages."""
        for method in self.network.methods.values():
            for loop in syntax.walk(method.body):
                if isinstance(loop, cst.For | cst.ListComp | cst.GeneratorExp):
                    yield from self.sites(loop, Scope(self.network.node, method))

    @cached_property
    def stem(self) -> str:
        """The first member that processes the image, or ``""``."""
        names = (syntax.self_attribute(call.func) for call in syntax.executed_calls(self.forward.body))
        return next(filter(None, names), "")

    @property
    def stem_width(self) -> str:
        """The output width of the stem; ``""`` if unknown."""
        return next(filter(None, map(self.network.built_width, self.network.members.get(self.stem, ()))), "")

    @cached_property
    def stem_class(self) -> str:
        """The class of the stem; ``""`` for plain layers."""
        for value in self.network.members.get(self.stem, ()):
            if isinstance(value, cst.Call) and (names := self.sizes.class_names(value.func, self.scope)):
                return names[0]
        return ""

    @cached_property
    def head(self) -> tuple[str, cst.Call] | None:
        """The member that computes the classes, and its last linear layer."""
        classes = next(iter(syntax.parameter_names(self.scope.function)), "")
        found = None
        for name, values in self.network.members.items():
            for call in (call for value in values for call in syntax.calls(value)):
                is_last = any(syntax.dotted(argument.value) == classes for argument in call.args)
                found = (name, call) if is_last and layer_name(call.func) == "Linear" else found
        return found

    def call_of(self, attribute: str) -> cst.Call | None:
        """The call of a member in ``forward``; ``None`` unless there is exactly one."""
        found = [call for call in syntax.calls(self.forward.body) if syntax.self_attribute(call.func) == attribute]
        return found[0] if len(found) == 1 else None

    @cached_property
    def backbone_end(self) -> cst.BaseExpression | None:
        """The last feature map of ``forward``: what is pooled, flattened or passed to the head."""
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
        """The width of the last feature map, an expression valid before the head is built; ``""`` if unknown."""
        if self.head is not None:
            arguments = syntax.arguments(self.head[1], ("in_features", "out_features"))
            if "in_features" in arguments:
                width = syntax.code(arguments["in_features"].value)
                return width if self.network.is_fixed(width) else ""
        return self.stages[-1].width if self.stages else ""


@dataclass(frozen=True)
class Site:
    """A call that builds a block, its function, and the classes it can build."""

    call: cst.Call
    scope: Scope
    names: tuple[str, ...]


def _passed_blocks(call: cst.Call, method: cst.FunctionDef, sizes: SizeInference) -> tuple[str, ...]:
    """The classes that a stage passes to the method that builds it."""
    bound = syntax.arguments(call, syntax.parameter_names(method))
    names = [syntax.dotted(argument.value) for argument in bound.values()]
    return tuple(name for name in names if name in sizes.classes)
