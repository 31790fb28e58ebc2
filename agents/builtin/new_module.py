"""Parses a module from a reply or the library: classes, imports, constructor."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import libcst as cst

from agents.builtin import syntax
from agents.builtin.module_spots import MapShape
from agents.builtin.size_inference import methods
from agents.builtin.source_editor import SourceEditor, free_name, snake_case

_WIDTH = re.compile(r"channels?|dim|planes|width|features|filters|^(?:c|n|in_?c|out_?c|inp|oup|cin|cout|ch)$", re.I)
_MAX_WIDTHS = 3
_USUAL: Mapping[str, str] = (
    dict.fromkeys(("stride", "padding", "dilation", "groups", "num_groups", "heads", "num_heads"), "1")
    | dict.fromkeys(("kernel_size", "kernel"), "3")
    | dict.fromkeys(("reduction", "ratio"), "4")
    | {"expansion": "2", "dropout": "0.0", "bias": "True"}
)
"""Values for required arguments other than widths."""

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
    """A text is not a module that can be added to a network."""


@dataclass(frozen=True)
class NewModule:
    """A module with its imports and definitions.

    ``arguments`` are the required ones of its constructor, each with its value; the value of a width is empty.
    """

    name: str
    arguments: tuple[tuple[str, str], ...]
    imports: tuple[cst.SimpleStatementLine, ...]
    definitions: tuple[cst.BaseStatement, ...]

    @property
    def attribute(self) -> str:
        """The attribute that holds an instance."""
        return snake_case(self.name)

    @property
    def num_widths(self) -> int:
        """The number of arguments that are the width."""
        return sum(not value for _, value in self.arguments)

    @property
    def is_built_of_channels(self) -> bool:
        """Whether it is built as ``Name(channels)``."""
        return len(self.arguments) == self.num_widths == 1

    @property
    def text(self) -> str:
        """Its imports and classes as a file."""
        return "\n\n".join(syntax.code(node).strip("\n") for node in (*self.imports, *self.definitions)) + "\n"

    def build(self, width: str) -> str:
        """The expression that builds it for a width."""
        if any(value for _, value in self.arguments):
            return f"{self.name}({', '.join(f'{name}={value or width}' for name, value in self.arguments)})"
        return f"{self.name}({', '.join([width] * len(self.arguments))})"

    def add_to(self, editor: SourceEditor) -> None:
        """Add the definitions before the network of a source, with the imports they need."""
        editor.add_definitions(self.definitions)
        present = {syntax.code(node).strip() for node in editor.module.body}
        for line in self.imports:
            if (text := syntax.code(line.with_changes(leading_lines=[])).strip()) not in present:
                editor.add_import(text)
        for node in self.definitions:
            editor.require_imports(node)

    def alone(self, shapes: Sequence[MapShape]) -> str:
        """A network that runs the module on one map of each shape, and raises if a shape changes."""
        widths = [shape[0] for shape in shapes]
        text = _FRAME.format(
            sides=[shape[1:] for shape in shapes],
            widths=widths,
            built=", ".join(self.build(str(width)) for width in widths),
            total=sum(widths),
        )
        editor = SourceEditor(text)
        self.add_to(editor)
        return editor.source


def read_module(code: str, taken: Collection[str]) -> NewModule:
    """The module in a text: the last class that no other class uses, with everything it needs.

    Classes whose names the network already has are left out, as long as another one remains.

    Args:
        taken: the names that the network's source defines.

    Raises:
        ModuleError: the text does not parse, has no module, or its module requires more than channels.
    """
    try:
        tree = cst.parse_module(code)
    except (cst.ParserSyntaxError, cst.CSTValidationError) as error:
        raise ModuleError(f"the module does not parse: {str(error).splitlines()[0]}") from error
    classes = {node.name.value: node for node in tree.body if isinstance(node, cst.ClassDef)}
    modules = {name: node for name, node in classes.items() if "forward" in methods(node)}
    fresh = {name: node for name, node in modules.items() if name not in taken and name != "Network"}
    if not (fresh or modules):
        raise ModuleError("the reply contains no class with a forward method")
    name = _outermost(fresh or modules)
    if name == "Network":
        raise ModuleError("the reply contains a class Network but no other module")
    dropped = {other for other in classes if other != name and (other in taken or other == "Network")}
    definitions = [node for node in tree.body if _is_definition(node) and _defined_name(node) not in dropped]
    node = modules[name]
    arguments = _find_required(name, node)
    _check_forward(name, node)
    new_names = {n: free_name(n, set(taken)) for n in map(_defined_name, definitions) if n in taken}
    for old, new in new_names.items():
        definitions = [syntax.renamed_everywhere(definition, old, new) for definition in definitions]
    imports = tuple(line for line in tree.body if isinstance(line, cst.SimpleStatementLine) and _is_import(line))
    return NewModule(new_names.get(name, name), arguments, imports, tuple(definitions))


def _outermost(classes: dict[str, cst.ClassDef]) -> str:
    """The last class that no other class uses."""
    used = {
        node.value
        for name, owner in classes.items()
        for node in syntax.walk(owner.body)
        if isinstance(node, cst.Name) and node.value != name
    }
    outermost = [name for name in classes if name not in used]
    return (outermost or list(classes))[-1]


def _find_required(name: str, node: cst.ClassDef) -> tuple[tuple[str, str], ...]:
    """The required arguments of the constructor; its first width even if it has a default."""
    init = methods(node).get("__init__")
    given = syntax.parameters(init) if init is not None else ()
    needed = [parameter.name.value for parameter in given if parameter.default is None]
    widths = [parameter for parameter in needed if parameter not in _USUAL and _WIDTH.search(parameter)]
    other = [parameter for parameter in needed if parameter not in _USUAL and parameter not in widths]
    if other or len(widths) > _MAX_WIDTHS:
        raise ModuleError(f"{name} requires {', '.join(other or widths)}; a module is built from channels only")
    if not needed and given and _WIDTH.search(given[0].name.value):
        needed = [given[0].name.value]
    return tuple((parameter, _USUAL.get(parameter, "")) for parameter in needed)


def _check_forward(name: str, node: cst.ClassDef) -> None:
    given = syntax.parameters(methods(node)["forward"])
    needed = [parameter.name.value for parameter in given if parameter.default is None]
    if not given or len(needed) > 1:
        raise ModuleError(f"{name}.forward takes {', '.join(needed) or 'nothing'}; a module takes one feature map")


def _is_definition(node: cst.CSTNode) -> bool:
    """Whether it is a class, function or constant, not an example of use."""
    if isinstance(node, cst.ClassDef | cst.FunctionDef):
        return True
    small = node.body[0] if isinstance(node, cst.SimpleStatementLine) else None
    return isinstance(small, cst.Assign) and not any(True for _ in syntax.calls(small.value))


def _defined_name(node: cst.CSTNode) -> str:
    if isinstance(node, cst.ClassDef | cst.FunctionDef):
        return node.name.value
    small = node.body[0] if isinstance(node, cst.SimpleStatementLine) else None
    return syntax.dotted(small.targets[0].target) if isinstance(small, cst.Assign) else ""


def _is_import(line: cst.SimpleStatementLine) -> bool:
    return isinstance(line.body[0], cst.Import | cst.ImportFrom)
