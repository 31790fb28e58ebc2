"""A source while it is being rewritten: what it says about its network, and the edits transformations are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import libcst as cst
import numpy as np

from agents.builtin import syntax
from agents.builtin.class_reading import ClassReading
from agents.builtin.network_reading import NetworkReading
from agents.builtin.size_inference import methods
from fairnad.records.candidate import CheckReport

_IMPORTS: Mapping[str, str] = {
    "math": "import math",
    "torch": "import torch",
    "nn": "import torch.nn as nn",
    "F": "import torch.nn.functional as F",
}
BLANK = cst.EmptyLine(indent=False, whitespace=cst.SimpleWhitespace(""))
"""An empty line."""


class UnreadableSourceError(ValueError):
    """A source does not parse, or holds no ``Network`` to work on; the roles make a failure of it."""


class Draft:
    """A source being rewritten; every edit is seen by the reading that follows it.

    Raises:
        UnreadableSourceError: the source cannot be read.
    """

    def __init__(self, source: str, generator: np.random.Generator, report: CheckReport | None = None) -> None:
        try:
            self.module = _regular(cst.parse_module(source))
        except (cst.ParserSyntaxError, cst.CSTValidationError) as error:
            raise UnreadableSourceError(str(error).splitlines()[0]) from error
        self.generator = generator
        self.report = report
        self.reading = NetworkReading(self.module)
        if not self.reading.exists:
            raise UnreadableSourceError("there is no class Network with __init__ and forward")

    @property
    def source(self) -> str:
        """The source as it now is."""
        return self.module.code

    def read(self, name: str) -> ClassReading:
        """One class of the source as it now is."""
        return self.reading.read(name)

    def choose(self, items: Sequence[syntax.Item]) -> syntax.Item:
        """One of ``items``, uniformly."""
        return items[int(self.generator.integers(len(items)))]

    def shuffled(self, items: Iterable[syntax.Item]) -> list[syntax.Item]:
        """``items`` in random order."""
        listed = list(items)
        return [listed[int(i)] for i in self.generator.permutation(len(listed))]

    def replace(self, edits: syntax.Edits) -> None:
        """Exchange nodes of the current tree."""
        self.module = syntax.replaced(self.module, edits)
        self.reading = NetworkReading(self.module)

    def free_class_name(self, wanted: str) -> str:
        """``wanted``, or the first of ``wanted2``, ``wanted3``, … that the source does not use."""
        used = {node.value for node in syntax.walk(self.module) if isinstance(node, cst.Name)}
        return free_name(wanted, used)

    def free_attribute(self, owner: str, wanted: str) -> str:
        """A name no member or method of a class has yet."""
        return free_name(wanted, self.read(owner).attributes)

    def free_variable(self, owner: str, wanted: str) -> str:
        """A name no variable of a class's ``forward`` has yet."""
        forward = self.read(owner).forward
        used = {node.value for node in syntax.walk(forward) if isinstance(node, cst.Name)} if forward else set()
        return free_name(wanted, used)

    def add_class(self, text: str, name: str) -> None:
        """Put a class, written out in ``text``, before the network as ``name``, with the imports it needs."""
        (node,) = syntax.statements(text)
        assert isinstance(node, cst.ClassDef)
        node = node.with_changes(name=cst.Name(name), leading_lines=[BLANK, BLANK])
        network = self.reading.network.node
        spaced = network.with_changes(leading_lines=_spaced(network.leading_lines))
        self.replace({network: cst.FlattenSentinel([node, spaced])})
        self.require_imports(node)

    def require_imports(self, node: cst.CSTNode) -> None:
        """Import what ``node`` uses of ``math``, ``torch``, ``nn`` and ``F``, where the source does not yet."""
        used = {inner.value for inner in syntax.walk(node) if isinstance(inner, cst.Name)}
        for name in sorted(used & set(_IMPORTS) - imported_names(self.module)):
            self.add_import(_IMPORTS[name])

    def add_import(self, text: str) -> None:
        """Put an import statement before the others."""
        body = self.module.body
        place = next((i for i, statement in enumerate(body) if not _is_docstring_or_future(statement)), len(body))
        (added,) = syntax.statements(text)
        if place < len(body) and isinstance(following := body[place], cst.SimpleStatementLine):
            added = added.with_changes(leading_lines=following.leading_lines)
            body = [*body[:place], following.with_changes(leading_lines=[]), *body[place + 1 :]]
        self.module = self.module.with_changes(body=[*body[:place], added, *body[place:]])
        self.reading = NetworkReading(self.module)

    def extend_init(self, owner: str, text: str, after: cst.CSTNode | None = None) -> None:
        """Add statements to a class's ``__init__``: behind the statement ``after``, else at the end."""
        init = self.read(owner).init
        assert init is not None
        added = syntax.statements(text)
        if after is not None:
            self.replace({after: cst.FlattenSentinel([after, *added])})
        else:
            self.replace({init.body: init.body.with_changes(body=[*init.body.body, *added])})
        for statement in added:
            self.require_imports(statement)

    def begin_init(self, owner: str, text: str) -> None:
        """Add statements to a class's ``__init__`` right behind the call of the parent's."""
        init = self.read(owner).init
        assert init is not None
        lines = list(init.body.body)
        place = next((i for i, line in enumerate(lines) if "super(" in syntax.code(line)), -1) + 1
        lines[place:place] = syntax.statements(text)
        self.replace({init.body: init.body.with_changes(body=lines)})

    def begin_forward(self, owner: str, text: str) -> None:
        """Add statements to the beginning of a class's ``forward``."""
        forward = self.read(owner).forward
        assert forward is not None
        added = syntax.statements(text)
        self.replace({forward.body: forward.body.with_changes(body=[*added, *forward.body.body])})
        for statement in added:
            self.require_imports(statement)

    def add_method(self, owner: str, text: str) -> None:
        """Add a method to the end of a class."""
        (node,) = syntax.statements(text)
        body = self.read(owner).node.body
        self.replace({body: body.with_changes(body=[*body.body, node.with_changes(leading_lines=[BLANK])])})
        self.require_imports(node)

    def wrap(self, node: cst.BaseExpression, pattern: str) -> None:
        """Exchange an expression for ``pattern``, in which ``{}`` stands for it."""
        self.replace({node: around(node, pattern)})

    def insert_before(self, node: cst.CSTNode, owner: str, text: str) -> None:
        """Add statements before the one of ``owner``'s ``forward`` that holds ``node``."""
        statement = self.statement_of(node, owner)
        self.replace({statement: cst.FlattenSentinel([*syntax.statements(text), statement])})

    def insert_after(self, node: cst.CSTNode, owner: str, text: str) -> None:
        """Add statements behind the one of ``owner``'s ``forward`` that holds ``node``."""
        statement = self.statement_of(node, owner)
        self.replace({statement: cst.FlattenSentinel([statement, *syntax.statements(text)])})

    def statement_of(self, node: cst.CSTNode, owner: str) -> cst.SimpleStatementLine:
        """The line of ``owner``'s ``forward`` that holds ``node``."""
        forward = self.read(owner).forward
        assert forward is not None
        for line in syntax.walk(forward):
            if isinstance(line, cst.SimpleStatementLine) and any(inner is node for inner in syntax.walk(line)):
                return line
        raise AssertionError("the node is not part of the forward method")


def around(node: cst.BaseExpression, pattern: str) -> cst.BaseExpression:
    """``pattern`` as an expression, with ``node`` in the place of ``{}``."""
    outer = syntax.expression(pattern.replace("{}", "_hole"))
    holes = [inner for inner in syntax.walk(outer) if isinstance(inner, cst.Name) and inner.value == "_hole"]
    arguments = {a.value for a in syntax.walk(outer) if isinstance(a, cst.Arg)}
    return syntax.replaced(outer, {hole: node if hole in arguments else syntax.enclosed(node) for hole in holes})


def free_name(wanted: str, used: set[str]) -> str:
    """``wanted``, or the first of ``wanted2``, ``wanted3``, … that is not in ``used``."""
    stem = wanted.rstrip("0123456789") if wanted in used else wanted
    names = (wanted if i == 1 else f"{stem}{i}" for i in range(1, len(used) + 3))
    return next(name for name in names if name not in used)


def stem_of(name: str) -> str:
    """``ChannelGate`` for ``ChannelGate2``: what modules made of the same template share."""
    return name.rstrip("0123456789")


def snake_case(name: str) -> str:
    """``channel_gate`` for ``ChannelGate``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def imported_names(module: cst.Module) -> set[str]:
    """The names the import statements of a module bind; those inside functions and conditions do not count."""
    lines = (line for line in module.body if isinstance(line, cst.SimpleStatementLine))
    found: set[str] = set()
    for node in (small for line in lines for small in line.body):
        if isinstance(node, cst.Import | cst.ImportFrom) and not isinstance(node.names, cst.ImportStar):
            for alias in node.names:
                bound = alias.asname.name if alias.asname else alias.name
                found.add(syntax.dotted(bound).split(".")[0])
    return found


def _spaced(lines: Sequence[cst.EmptyLine]) -> list[cst.EmptyLine]:
    """Leading lines that begin with two empty ones."""
    content = list(lines)
    while content and content[0].comment is None:
        del content[0]
    return [BLANK, BLANK, *content]


def _is_docstring_or_future(statement: cst.CSTNode) -> bool:
    if not isinstance(statement, cst.SimpleStatementLine):
        return False
    first = statement.body[0]
    if isinstance(first, cst.ImportFrom):
        return first.module is not None and syntax.dotted(first.module) == "__future__"
    return isinstance(first, cst.Expr) and isinstance(first.value, cst.SimpleString)


def _regular(module: cst.Module) -> cst.Module:
    """The same program in the form the readings expect: bodies on lines of their own, ``a = a + b`` for ``a += b``."""
    edits: dict[cst.CSTNode, cst.CSTNode] = {}
    for node in module.body:
        for function in methods(node).values() if isinstance(node, cst.ClassDef) else ():
            if isinstance(function.body, cst.SimpleStatementSuite):
                edits[function.body] = cst.IndentedBlock([cst.SimpleStatementLine(function.body.body)])
            elif function.name.value == "forward":
                edits.update(_plain_sums(function))
    return syntax.replaced(module, edits)


def _plain_sums(function: cst.FunctionDef) -> Mapping[cst.CSTNode, cst.CSTNode]:
    edits: dict[cst.CSTNode, cst.CSTNode] = {}
    for node in syntax.walk(function.body):
        if isinstance(node, cst.AugAssign) and isinstance(node.operator, cst.AddAssign):
            left = syntax.expression(syntax.code(node.target))
            value = cst.BinaryOperation(left, cst.Add(), syntax.enclosed(node.value))
            edits[node] = cst.Assign([cst.AssignTarget(node.target)], value)
    return edits
