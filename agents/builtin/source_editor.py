"""A source being edited: the reading of its network, and the edits that transformations consist of."""

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

IMPORTS: Mapping[str, str] = {
    "math": "import math",
    "torch": "import torch",
    "nn": "import torch.nn as nn",
    "F": "import torch.nn.functional as F",
}
"""The usual imports, by the name they define."""
BLANK = cst.EmptyLine(indent=False, whitespace=cst.SimpleWhitespace(""))
"""An empty line."""


class UnreadableSourceError(ValueError):
    """A source does not parse, or has no ``Network``."""


class SourceEditor:
    """A source being edited; ``reading`` always describes the current source.

    Raises:
        UnreadableSourceError: the source cannot be read.
    """

    def __init__(
        self, source: str, generator: np.random.Generator | None = None, report: CheckReport | None = None
    ) -> None:
        try:
            self.module = _regular(cst.parse_module(source))
        except (cst.ParserSyntaxError, cst.CSTValidationError) as error:
            raise UnreadableSourceError(str(error).splitlines()[0]) from error
        self.generator = generator or np.random.default_rng(0)
        self.report = report
        self.reading = NetworkReading(self.module)
        if not self.reading.exists:
            raise UnreadableSourceError("there is no class Network with __init__ and forward")

    @property
    def source(self) -> str:
        """The current source."""
        return self.module.code

    def read(self, name: str) -> ClassReading:
        """One class of the current source."""
        return self.reading.read(name)

    def choose(self, items: Sequence[syntax.Item]) -> syntax.Item:
        """One of ``items``, drawn uniformly."""
        return items[int(self.generator.integers(len(items)))]

    def shuffled(self, items: Iterable[syntax.Item]) -> list[syntax.Item]:
        """``items`` in random order."""
        listed = list(items)
        return [listed[int(i)] for i in self.generator.permutation(len(listed))]

    def replace(self, edits: syntax.Edits) -> None:
        """Replace nodes of the current tree."""
        self.module = syntax.replaced(self.module, edits)
        self.reading = NetworkReading(self.module)

    def free_class_name(self, wanted: str) -> str:
        """``wanted``, or the first of ``wanted2``, ``wanted3``, … that the source does not use."""
        used = {node.value for node in syntax.walk(self.module) if isinstance(node, cst.Name)}
        return free_name(wanted, used)

    def free_attribute(self, owner: str, wanted: str) -> str:
        """A name that no member or method of a class has."""
        return free_name(wanted, self.read(owner).attributes)

    def free_variable(self, owner: str, wanted: str) -> str:
        """A name that no variable of a class's ``forward`` has."""
        forward = self.read(owner).forward
        used = {node.value for node in syntax.walk(forward) if isinstance(node, cst.Name)} if forward else set()
        return free_name(wanted, used)

    def add_class(self, text: str, name: str) -> None:
        """Add the class in ``text`` before the network as ``name``, with the imports it needs."""
        (node,) = syntax.statements(text)
        assert isinstance(node, cst.ClassDef)
        node = node.with_changes(name=cst.Name(name))
        self.add_definitions([node])
        self.require_imports(node)

    def add_definitions(self, nodes: Sequence[cst.BaseStatement]) -> None:
        """Add classes, functions and constants before the network."""
        network = self.reading.network.node
        added = [node.with_changes(leading_lines=[BLANK, BLANK]) for node in nodes]
        comments = [line for line in network.leading_lines if line.comment is not None]
        network_again = network.with_changes(leading_lines=[BLANK, BLANK, *comments])
        self.replace({network: cst.FlattenSentinel([*added, network_again])})

    def require_imports(self, node: cst.CSTNode) -> None:
        """Import what ``node`` uses of ``math``, ``torch``, ``nn`` and ``F``, unless imported already."""
        used = {inner.value for inner in syntax.walk(node) if isinstance(inner, cst.Name)}
        for name in sorted(used & set(IMPORTS) - imported_names(self.module)):
            self.add_import(IMPORTS[name])

    def add_import(self, text: str) -> None:
        """Add an import statement before the others."""
        body = self.module.body
        place = next((i for i, statement in enumerate(body) if not _is_docstring_or_future(statement)), len(body))
        (added,) = syntax.statements(text)
        if place < len(body) and isinstance(following := body[place], cst.SimpleStatementLine):
            added = added.with_changes(leading_lines=following.leading_lines)
            body = [*body[:place], following.with_changes(leading_lines=[]), *body[place + 1 :]]
        self.module = self.module.with_changes(body=[*body[:place], added, *body[place:]])
        self.reading = NetworkReading(self.module)

    def extend_init(self, owner: str, text: str, after: cst.CSTNode | None = None) -> None:
        """Add statements to a class's ``__init__``: after the statement ``after``, else at the end."""
        if after is not None:
            added = syntax.statements(text)
            self.replace({after: cst.FlattenSentinel([after, *added])})
            self._require_all(added)
        else:
            self._insert(self.read(owner).init, text)

    def begin_init(self, owner: str, text: str) -> None:
        """Add statements to a class's ``__init__`` right after the call of ``super().__init__``."""
        init = self.read(owner).init
        lines = init.body.body if init is not None else ()
        self._insert(init, text, next((i for i, line in enumerate(lines) if "super(" in syntax.code(line)), -1) + 1)

    def begin_forward(self, owner: str, text: str) -> None:
        """Add statements to the beginning of a class's ``forward``."""
        self._insert(self.read(owner).forward, text, 0)

    def _insert(self, function: cst.FunctionDef | None, text: str, place: int | None = None) -> None:
        assert function is not None
        added, lines = syntax.statements(text), list(function.body.body)
        place = len(lines) if place is None else place
        self.replace({function.body: function.body.with_changes(body=[*lines[:place], *added, *lines[place:]])})
        self._require_all(added)

    def _require_all(self, added: Iterable[cst.CSTNode]) -> None:
        for statement in added:
            self.require_imports(statement)

    def add_method(self, owner: str, text: str) -> None:
        """Add a method to the end of a class."""
        (node,) = syntax.statements(text)
        body = self.read(owner).node.body
        self.replace({body: body.with_changes(body=[*body.body, node.with_changes(leading_lines=[BLANK])])})
        self.require_imports(node)

    def wrap(self, node: cst.BaseExpression, pattern: str) -> None:
        """Replace an expression with ``pattern``, in which ``{}`` stands for it."""
        self.replace({node: around(node, pattern)})

    def insert_after(self, node: cst.CSTNode, owner: str, text: str) -> None:
        """Add statements after the statement of ``owner``'s ``forward`` that contains ``node``."""
        statement = self.statement_of(node, owner)
        self.replace({statement: cst.FlattenSentinel([statement, *syntax.statements(text)])})

    def statement_of(self, node: cst.CSTNode, owner: str) -> cst.SimpleStatementLine:
        """The line of ``owner``'s ``forward`` that contains ``node``."""
        forward = self.read(owner).forward
        assert forward is not None
        for line in syntax.walk(forward):
            if isinstance(line, cst.SimpleStatementLine) and any(inner is node for inner in syntax.walk(line)):
                return line
        raise AssertionError("the node is not part of the forward method")


def around(node: cst.BaseExpression, pattern: str) -> cst.BaseExpression:
    """``pattern`` as an expression, with ``node`` for ``{}``."""
    outer = syntax.expression(pattern.replace("{}", "_hole"))
    holes = [inner for inner in syntax.walk(outer) if isinstance(inner, cst.Name) and inner.value == "_hole"]
    arguments = {a.value for a in syntax.walk(outer) if isinstance(a, cst.Arg)}
    return syntax.replaced(outer, {hole: node if hole in arguments else syntax.enclosed(node) for hole in holes})


def free_name(wanted: str, used: set[str]) -> str:
    """``wanted``, or the first of ``wanted2``, ``wanted3``, … that is not in ``used``."""
    stem = wanted.rstrip("0123456789") if wanted in used else wanted
    names = (wanted if i == 1 else f"{stem}{i}" for i in range(1, len(used) + 3))
    return next(name for name in names if name not in used)


def without_number(name: str) -> str:
    """``ChannelGate`` for ``ChannelGate2``."""
    return name.rstrip("0123456789")


def snake_case(name: str) -> str:
    """``channel_gate`` for ``ChannelGate``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def imported_names(module: cst.Module) -> set[str]:
    """The names that top-level imports of a module bind."""
    lines = (line for line in module.body if isinstance(line, cst.SimpleStatementLine))
    found: set[str] = set()
    for node in (small for line in lines for small in line.body):
        if isinstance(node, cst.Import | cst.ImportFrom) and not isinstance(node.names, cst.ImportStar):
            for alias in node.names:
                bound = alias.asname.name if alias.asname else alias.name
                found.add(syntax.dotted(bound).split(".")[0])
    return found


def _is_docstring_or_future(statement: cst.CSTNode) -> bool:
    if not isinstance(statement, cst.SimpleStatementLine):
        return False
    first = statement.body[0]
    if isinstance(first, cst.ImportFrom):
        return first.module is not None and syntax.dotted(first.module) == "__future__"
    return isinstance(first, cst.Expr) and isinstance(first.value, cst.SimpleString)


def _regular(module: cst.Module) -> cst.Module:
    """Normalise a program for analysis: bodies on their own lines, ``a = a + b`` for ``a += b``."""
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
