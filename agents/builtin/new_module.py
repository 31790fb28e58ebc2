"""A module somebody else has written, read as what can be added to a network: its classes, imports, constructor."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import libcst as cst
import numpy as np

from agents.builtin import syntax
from agents.builtin.module_spots import MapShape
from agents.builtin.size_inference import methods
from agents.builtin.source_editor import Draft, free_name, snake_case

_WIDTH = re.compile(r"channels?|dim|planes|width|features|filters|^(?:c|n|in_?c|out_?c|inp|oup|cin|cout|ch)$", re.I)
_MOST_WIDTHS = 3
_USUAL: Mapping[str, str] = {
    "stride": "1",
    "kernel_size": "3",
    "kernel": "3",
    "padding": "1",
    "dilation": "1",
    "groups": "1",
    "num_groups": "1",
    "heads": "1",
    "num_heads": "1",
    "reduction": "4",
    "ratio": "4",
    "expansion": "2",
    "dropout": "0.0",
    "bias": "True",
}
"""What a module is built with that asks for more than widths."""

_FRAME = """
import torch
import torch.nn as nn
import torch.nn.functional as F


class Network(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.sides = {sides}
        self.lifts = nn.ModuleList([nn.Conv2d(3, width, 1) for width in {widths}])
        self.tried = nn.ModuleList([{built}])
        self.head = nn.Linear({total}, num_classes)

    def forward(self, x):
        pooled = []
        for lift, module, side in zip(self.lifts, self.tried, self.sides):
            given = F.adaptive_avg_pool2d(lift(x), side)
            result = module(given)
            if result.shape != given.shape:
                raise ValueError(
                    f"the module was given {{tuple(given.shape)}} and returned {{tuple(result.shape)}}: "
                    "it must keep the shape"
                )
            pooled.append(result.mean((2, 3)))
        return self.head(torch.cat(pooled, 1))
"""


class ModuleError(ValueError):
    """A text is no module that can be placed; the roles make a failure of it."""


@dataclass(frozen=True)
class NewModule:
    """A module with all it needs.

    ``arguments`` are those its constructor needs, each with its value, which is empty for a width.
    """

    name: str
    arguments: tuple[tuple[str, str], ...]
    imports: tuple[cst.SimpleStatementLine, ...]
    definitions: tuple[cst.BaseStatement, ...]

    @property
    def attribute(self) -> str:
        """The name a member made of it gets."""
        return snake_case(self.name)

    @property
    def num_widths(self) -> int:
        """How many of its arguments are the width."""
        return sum(not value for _, value in self.arguments)

    @property
    def is_built_of_channels(self) -> bool:
        """Whether it is built as ``Name(channels)``."""
        return len(self.arguments) == self.num_widths == 1

    @property
    def text(self) -> str:
        """Its imports and classes as a file."""
        return "\n\n".join(syntax.code(node).strip("\n") for node in (*self.imports, *self.definitions)) + "\n"

    def built(self, width: str) -> str:
        """The expression that builds it."""
        if any(value for _, value in self.arguments):
            return f"{self.name}({', '.join(f'{name}={value or width}' for name, value in self.arguments)})"
        return f"{self.name}({', '.join([width] * len(self.arguments))})"

    def add_to(self, draft: Draft) -> None:
        """Put the definitions before the network of a draft, with the imports they need."""
        network = draft.reading.network.node
        blank = cst.EmptyLine(indent=False, whitespace=cst.SimpleWhitespace(""))
        spaced = [node.with_changes(leading_lines=[blank, blank]) for node in self.definitions]
        kept = [line for line in network.leading_lines if line.comment is not None]
        draft.replace(
            {network: cst.FlattenSentinel([*spaced, network.with_changes(leading_lines=[blank, blank, *kept])])}
        )
        present = {syntax.code(node).strip() for node in draft.module.body}
        for line in self.imports:
            if (text := syntax.code(line.with_changes(leading_lines=[])).strip()) not in present:
                draft.add_import(text)
        for node in self.definitions:
            draft.require_imports(node)

    def alone(self, shapes: Sequence[MapShape]) -> str:
        """A network of nothing but the module, run once on a map of each shape; it raises where one is not kept."""
        widths = [shape[0] for shape in shapes]
        text = _FRAME.format(
            sides=[shape[1:] for shape in shapes],
            widths=widths,
            built=", ".join(self.built(str(width)) for width in widths),
            total=sum(widths),
        )
        draft = Draft(text, np.random.default_rng(0))
        self.add_to(draft)
        return draft.source


def read_module(code: str, taken: Collection[str]) -> NewModule:
    """The module a text holds.

    The last class that no other one of the text uses is the module; classes whose names the network has already are
    left out, as long as another one remains.

    Args:
        taken: the names the network's source defines.

    Raises:
        ModuleError: the text does not parse, holds no module, or one that asks for more than its channels.
    """
    try:
        tree = cst.parse_module(code)
    except (cst.ParserSyntaxError, cst.CSTValidationError) as error:
        raise ModuleError(f"the module does not parse: {str(error).splitlines()[0]}") from error
    classes = {node.name.value: node for node in tree.body if isinstance(node, cst.ClassDef)}
    modules = {name: node for name, node in classes.items() if "forward" in methods(node)}
    fresh = {name: node for name, node in modules.items() if name not in taken and name != "Network"}
    if not (fresh or modules):
        raise ModuleError("the reply holds no class with a forward")
    name = _outermost(fresh or modules)
    if name == "Network":
        raise ModuleError("the reply holds a class Network, but no module")
    dropped = {other for other in classes if other != name and (other in taken or other == "Network")}
    definitions = [node for node in tree.body if _is_definition(node) and _defined(node) not in dropped]
    node = modules[name]
    arguments = _needed(name, node)
    _check_forward(name, node)
    new_names = {n: free_name(n, set(taken)) for n in map(_defined, definitions) if n in taken}
    for old, new in new_names.items():
        definitions = [syntax.renamed_everywhere(definition, old, new) for definition in definitions]
    imports = tuple(line for line in tree.body if isinstance(line, cst.SimpleStatementLine) and _is_import(line))
    return NewModule(new_names.get(name, name), arguments, imports, tuple(definitions))


def _outermost(classes: dict[str, cst.ClassDef]) -> str:
    """The last class that no other one uses."""
    used = {
        node.value
        for name, owner in classes.items()
        for node in syntax.walk(owner.body)
        if isinstance(node, cst.Name) and node.value != name
    }
    outermost = [name for name in classes if name not in used]
    return (outermost or list(classes))[-1]


def _needed(name: str, node: cst.ClassDef) -> tuple[tuple[str, str], ...]:
    """The arguments the constructor needs, as :class:`NewModule` has them; a first width with a default among them."""
    init = methods(node).get("__init__")
    given = syntax.parameters(init) if init is not None else ()
    needed = [parameter.name.value for parameter in given if parameter.default is None]
    widths = [parameter for parameter in needed if parameter not in _USUAL and _WIDTH.search(parameter)]
    if odd := [parameter for parameter in needed if parameter not in _USUAL and parameter not in widths]:
        raise ModuleError(f"{name} asks for {', '.join(odd)}; a module is built with channels alone")
    if len(widths) > _MOST_WIDTHS:
        raise ModuleError(f"{name} asks for {', '.join(widths)}; a module is built with channels alone")
    if not needed and given and _WIDTH.search(given[0].name.value):
        needed = [given[0].name.value]
    return tuple((parameter, _USUAL.get(parameter, "")) for parameter in needed)


def _check_forward(name: str, node: cst.ClassDef) -> None:
    given = syntax.parameters(methods(node)["forward"])
    needed = [parameter.name.value for parameter in given if parameter.default is None]
    if not given or len(needed) > 1:
        raise ModuleError(f"{name}.forward takes {', '.join(needed) or 'nothing'}; a module takes one map")


def _is_definition(node: cst.CSTNode) -> bool:
    """Classes, functions and constants; anything else is an example of use."""
    if isinstance(node, cst.ClassDef | cst.FunctionDef):
        return True
    small = node.body[0] if isinstance(node, cst.SimpleStatementLine) else None
    return isinstance(small, cst.Assign) and not any(True for _ in syntax.calls(small.value))


def _defined(node: cst.CSTNode) -> str:
    if isinstance(node, cst.ClassDef | cst.FunctionDef):
        return node.name.value
    small = node.body[0] if isinstance(node, cst.SimpleStatementLine) else None
    return syntax.dotted(small.targets[0].target) if isinstance(small, cst.Assign) else ""


def _is_import(line: cst.SimpleStatementLine) -> bool:
    return isinstance(line.body[0], cst.Import | cst.ImportFrom)
