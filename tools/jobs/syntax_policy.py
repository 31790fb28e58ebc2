"""The syntax rules for sources: imports, module level, attributes, calls, methods."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from tools.jobs import policy_words as words

_DUNDER = re.compile(r"__\w+__")
_IN_TEXT = re.compile(r"(?<!\w)__[a-z]\w*__")
_OWN = ("self", "ctx", "cls")
_BY_NAME = {"getattr": 1, "hasattr": 1, "setattr": 1, "delattr": 1}
_PLAIN_BASES = {"object", "ABC", "Enum", "IntEnum", "StrEnum", "Protocol", "Generic", "NamedTuple", "TypedDict"}
_MODULE_LEVEL = (
    ast.Import,
    ast.ImportFrom,
    ast.ClassDef,
    ast.FunctionDef,
    ast.Assign,
    ast.AnnAssign,
    ast.Pass,
    ast.If,
)
_MAIN_GUARD = "__main__"
_READABLE_NAMES = {"__name__", "__class__"} | words.ASSIGNABLE_DUNDERS


class Violation(NamedTuple):
    """A violation: line, rule, what was found, what to do instead."""

    line: int
    rule: str
    what: str
    instead: str


def violations(module: ast.Module) -> list[Violation]:
    """All violations, in the order of the source."""
    reader = _Reader()
    for statement in module.body:
        reader.visit_top(statement)
    return sorted(reader.found)


def attribute_advice(name: str, *, of_module: bool) -> str:
    """What to do instead of reading an attribute; empty if it is allowed.

    Args:
        of_module: whether its owner was imported.
    """
    if of_module and name in words.MODULE_ATTRIBUTES:
        return words.MODULE_ATTRIBUTES[name]
    if name in words.ANY_ATTRIBUTES:
        return words.ANY_ATTRIBUTES[name]
    if _DUNDER.fullmatch(name):
        return "" if name in words.DUNDERS else "a network does not need the interpreter's internals; remove it"
    if of_module and name.startswith("_") and name not in words.PRIVATE:
        return "it is private to its module; use what is public"
    return ""


class _Reader(ast.NodeVisitor):
    """Walks a source once; ``_outside`` are the names of imported objects."""

    def __init__(self) -> None:
        self.found: list[Violation] = []
        self._outside: set[str] = set()

    def visit_top(self, node: ast.stmt) -> None:
        """A statement outside of classes and functions."""
        if _is_main_guard(node):
            return  # never runs, as candidates are not programs
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not isinstance(node, _MODULE_LEVEL) and not is_text:
            what = f"{_kind_of(node)} outside of classes and functions"
            self._refuse(node, "module level", what, "keep only imports, classes, functions and constants there")
        if isinstance(node, ast.If):
            for inner in [*node.body, *node.orelse]:
                self.visit_top(inner)
        self.visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        """Only listed modules can be imported."""
        for alias in node.names:
            self._check_module(node, alias.name)
            self._outside.add((alias.asname or alias.name).split(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Like ``import``; imported names are checked like attributes."""
        module = "." * node.level + (node.module or "")
        is_known = self._check_module(node, module)
        for alias in node.names:
            if alias.name == "*":
                self._refuse(node, "imports", f"from {module} import *", "name what you use")
            elif is_known and f"{module}.{alias.name}" not in words.MODULES:
                self._check_attribute(node, alias.name, of_module=True)
            self._outside.add(alias.asname or alias.name)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """No metaclass, and none of the methods the trainer relies on."""
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg == "metaclass":
                self._refuse(node, "classes", f"class {node.name} has a metaclass", "remove it")
        is_plain = all(isinstance(base, ast.Name) and base.id in _PLAIN_BASES for base in node.bases)
        for method in node.body:
            for name in _defined_names(method):
                self._check_definition(method, name, is_plain=is_plain)
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        """Docstrings are skipped."""
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        """State belongs to the network."""
        self._refuse(node, "state", f"global {', '.join(node.names)}", "keep it in an attribute of the module")

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        """Handlers must not catch everything."""
        caught = [name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)] if node.type else ["all"]
        if set(caught) & {"all", "BaseException", "SystemExit", "KeyboardInterrupt"}:
            self._refuse(node, "exceptions", "an except that catches everything", "name the exception you expect")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Strings must not contain special names."""
        if isinstance(node.value, str):
            for name in _IN_TEXT.findall(node.value):
                if name not in (*words.DUNDERS, _MAIN_GUARD):
                    self._refuse(node, "names", f"the string {name!r}", "remove it")
                    return

    def visit_Name(self, node: ast.Name) -> None:
        """Forbidden built-in functions."""
        if node.id in words.NAMES and isinstance(node.ctx, ast.Load):
            self._refuse(node, "calls", node.id, words.NAMES[node.id])
        elif _DUNDER.fullmatch(node.id) and node.id not in _READABLE_NAMES:
            self._refuse(node, "names", node.id, "remove it")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Reading and writing attributes."""
        root = _root(node)
        self._check_attribute(node, node.attr, of_module=isinstance(root, ast.Name) and root.id in self._outside)
        if not isinstance(node.ctx, ast.Load):
            self._check_store(node, root)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Aliases of imported objects are treated like them."""
        value = node.value
        root = _root(value) if isinstance(value, ast.Name | ast.Attribute) else None
        if isinstance(root, ast.Name) and root.id in self._outside:
            self._outside |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Attributes by name, and ``type`` with three arguments."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in _BY_NAME and len(node.args) >= 2:
            self._check_by_name(node, name)
        elif name == "type" and len(node.args) > 1:
            self._refuse(node, "calls", "a class made by type(...)", "write a class statement")
        self.generic_visit(node)

    def _check_by_name(self, node: ast.Call, function: str) -> None:
        owner, name = node.args[0], node.args[1]
        root = _root(owner)
        of_module = isinstance(root, ast.Name) and root.id in self._outside
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            self._check_attribute(node, name.value, of_module=of_module)
        if function in ("setattr", "delattr") and (of_module or not isinstance(root, ast.Name)):
            self._refuse(node, "stores", f"{function} on an object made elsewhere", "set attributes of self")

    def _check_module(self, node: ast.stmt, module: str) -> bool:
        if module in words.MODULES or module.startswith("torch.nn.modules."):
            return True
        self._refuse(node, "imports", f"import of {module}", words.HINTS.get(module.split(".")[0], words.OUTSIDE))
        return False

    def _check_attribute(self, node: ast.AST, name: str, *, of_module: bool) -> None:
        if instead := attribute_advice(name, of_module=of_module):
            self._refuse(node, "attributes", name, instead)

    def _check_store(self, node: ast.Attribute, root: ast.expr) -> None:
        if _DUNDER.fullmatch(node.attr) or "__class__" in _chain(node):
            self._refuse(node, "stores", f"assignment to {node.attr}", "remove it")
        elif not isinstance(root, ast.Name) or root.id in self._outside:
            what = f"assignment to the attribute {node.attr} of an object made elsewhere"
            self._refuse(node, "stores", what, "set attributes of self, or write a subclass")
        elif node.attr in words.METHODS | {"forward"} and root.id not in _OWN:
            self._refuse(node, "stores", f"a new {node.attr}", "write it as a method of a class")

    def _check_definition(self, node: ast.AST, name: str, *, is_plain: bool) -> None:
        if name in words.ASSIGNABLE_DUNDERS and isinstance(node, ast.Assign | ast.AnnAssign):
            return
        if name in words.METHODS and not is_plain:
            self._refuse(node, "methods", f"{name} is redefined", "keep the method of nn.Module and rename yours")
        elif name == "__call__" and (is_plain or _only_calls_super(node)):
            return
        elif _DUNDER.fullmatch(name) and name not in words.DEFINABLE_DUNDERS:
            self._refuse(node, "methods", f"{name} is defined", "write forward, or a method with another name")

    def _refuse(self, node: ast.AST, rule: str, what: str, instead: str) -> None:
        self.found.append(Violation(getattr(node, "lineno", 1), rule, what, instead))


def _only_calls_super(node: ast.AST) -> bool:
    """Whether a ``__call__`` only calls ``super().__call__``."""
    if not isinstance(node, ast.FunctionDef) or node.decorator_list:
        return False
    statements = [one for one in node.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
    if len(statements) != 1 or not isinstance(statements[0], ast.Return):
        return False
    call = statements[0].value
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or call.func.attr != "__call__":
        return False
    owner = call.func.value
    is_super = isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name) and owner.func.id == "super"
    handed = [*call.args, *(keyword.value for keyword in call.keywords)]
    plain = (one.value if isinstance(one, ast.Starred) else one for one in handed)
    return is_super and all(isinstance(one, ast.Name) for one in plain)


def _is_main_guard(node: ast.stmt) -> bool:
    if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare) or node.orelse:
        return False
    left, right = node.test.left, node.test.comparators
    return (
        isinstance(left, ast.Name)
        and left.id == "__name__"
        and isinstance(node.test.ops[0], ast.Eq)
        and len(right) == 1
        and isinstance(right[0], ast.Constant)
        and right[0].value == _MAIN_GUARD
    )


def _kind_of(node: ast.stmt) -> str:
    if isinstance(node, ast.Expr):
        return "a call" if isinstance(node.value, ast.Call) else "an expression"
    return {ast.For: "a loop", ast.While: "a loop", ast.With: "a with block", ast.Try: "a try block"}.get(
        type(node), f"{type(node).__name__.lower()} statement"
    )


def _defined_names(node: ast.stmt) -> Iterator[str]:
    """The names that a statement of a class body defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.AnnAssign) and node.value is not None and isinstance(node.target, ast.Name):
        yield node.target.id


def _root(node: ast.expr) -> ast.expr:
    """The first expression of a chain of attributes and indices."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node


def _chain(node: ast.expr) -> list[str]:
    names = []
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
        node = node.value
    return names
