"""The debugger without a language model: known cures for known symptoms (paper F.2.5)."""

from __future__ import annotations

import ast
import re

import libcst as cst

from agents.builtin import syntax
from agents.builtin.draft import Draft, UnreadableSourceError
from agents.builtin.number_roles import methods
from agents.builtin.repairs import REPAIRS, Case
from agents.builtin.torch_layers import LAYERS, layer_name
from fairnad.candidate import Failure, FailureKind, Step
from fairnad.ports import DebugRequest, Proposal

_FENCE = re.compile(r"^\s*```[\w+-]*\s*$", re.MULTILINE)
_CODE_START = re.compile(r"^(import |from |class |def |@|#|\"\"\"|''')")
_CLASSES_NAMES = {"n_classes", "nclasses", "num_class", "n_class", "classes", "number_of_classes", "out_features"}


class BuiltinDebugger:
    """Mends sources by the cures of :data:`~agents.builtin.repairs.REPAIRS`."""

    async def debug(self, request: DebugRequest) -> Proposal | Failure:
        """The failed source with every cure applied whose symptom shows; *not applicable* where none changes it."""
        notes = []
        code = only_code(request.failed)
        if code is None:
            return Failure(Step.DEBUG, FailureKind.NOT_APPLICABLE, "the source does not parse")
        if code != request.failed:
            notes.append("text around the code left out")
        named = with_interface(code)
        if named != code:
            notes.append("Network(num_classes) put in place")
        try:
            draft = Draft(named, request.errand.generator)
        except UnreadableSourceError as error:
            return Failure(Step.DEBUG, FailureKind.NOT_APPLICABLE, f"the source cannot be read: {error}")
        case = Case(draft, request.failure, request.parent.source, _lines(request.failure), code)
        symptoms = f"{request.failure.kind}\n{request.failure.message}\n{request.failure.log_tail}"
        notes += [note for repair in REPAIRS if repair.symptom.search(symptoms) and (note := repair.mend(case))]
        if not notes:
            return Failure(Step.DEBUG, FailureKind.NOT_APPLICABLE, "no known cure for this failure")
        return Proposal(draft.source, prompt=request.prompt, note="; ".join(notes))


def _lines(failure: Failure) -> tuple[int, ...]:
    """The line numbers a traceback names, innermost last."""
    found = re.findall(r"line (\d+)", failure.log_tail) or re.findall(r"line (\d+)", failure.message)
    return tuple(int(number) for number in found)


def only_code(text: str) -> str | None:
    """The Python in a text: as it is, from its longest fenced block, or without prose around it; ``None`` if none."""
    if _parses(text):
        return text
    blocks = [block.strip("\n") + "\n" for block in _FENCE.split(text) if "class " in block]
    for block in sorted(blocks, key=len, reverse=True):
        if _parses(block):
            return block
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if _CODE_START.match(line)), 0)
    for end in range(len(lines), start, -1):
        code = "\n".join(lines[start:end]) + "\n"
        if _parses(code) and "class " in code:
            return code
    return None


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


def with_interface(code: str) -> str:
    """``code`` with a class ``Network`` that takes ``num_classes``; unchanged where it has one, or has no module."""
    module = cst.parse_module(code)
    classes = [node for node in module.body if isinstance(node, cst.ClassDef) and "forward" in methods(node)]
    if classes and all(node.name.value != "Network" for node in classes):
        module = syntax.renamed_everywhere(module, classes[-1].name.value, "Network")
    network = next((n for n in module.body if isinstance(n, cst.ClassDef) and n.name.value == "Network"), None)
    init = methods(network).get("__init__")
    if network is None or init is None or "num_classes" in syntax.parameter_names(init):
        return module.code
    alias = next((name for name in syntax.parameter_names(init) if name in _CLASSES_NAMES), None)
    if alias is not None:
        return syntax.replaced(module, {network: syntax.renamed_everywhere(network, alias, "num_classes")}).code
    return syntax.replaced(module, {init: _with_num_classes(init)}).code


def _with_num_classes(init: cst.FunctionDef) -> cst.FunctionDef:
    """``num_classes`` as the first parameter, and as the width of the last linear layer."""
    heads = [call for call in syntax.calls(init.body) if layer_name(call.func) == "Linear"]
    edits: dict[cst.CSTNode, cst.CSTNode] = {
        head: syntax.with_arguments(head, LAYERS["Linear"], {"out_features": "num_classes"}) for head in heads[-1:]
    }
    body = syntax.replaced(init.body, edits)
    equal = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    given = list(init.params.params)
    added = cst.Param(cst.Name("num_classes"), default=cst.Integer("10"), equal=equal)
    rest = given[1:]
    first = [given[0].with_changes(comma=syntax.COMMA), added.with_changes(comma=syntax.COMMA) if rest else added]
    return init.with_changes(body=body, params=init.params.with_changes(params=[*first, *rest]))
