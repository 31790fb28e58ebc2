"""The built-in debugger: known repairs for known symptoms (paper F.2.5)."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

import libcst as cst

from agents.builtin import syntax
from agents.builtin.repairs import REPAIRS, Case, Repair
from agents.builtin.size_inference import methods
from agents.builtin.source_editor import SourceEditor, UnreadableSourceError
from agents.builtin.torch_layers import LAYERS, layer_name
from fairnad.ports import DebugRequest, Proposal
from fairnad.records.candidate import Failure, FailureKind, Step

_FENCE = re.compile(r"^\s*```[\w+-]*\s*$", re.MULTILINE)
_CODE_START = re.compile(r"^(import |from |class |def |@|#|\"\"\"|''')")
_CLASSES_NAMES = {"n_classes", "nclasses", "num_class", "n_class", "classes", "number_of_classes", "out_features"}


_AS_TYPED = str.maketrans(
    {"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "−": "-", "×": "*", "\u00a0": " ", "\u200b": "", "\ufeff": ""}
)
"""Typographic characters, and the ASCII characters that code needs."""


class BuiltinDebugger:
    """Applies the repairs of :data:`~agents.builtin.repairs.REPAIRS`."""

    async def debug(self, request: DebugRequest) -> Proposal | Failure:
        """The failed source with every repair whose symptom matches; *not applicable* if none matches."""
        repaired = apply_repairs(request.failed, request.failure, request.parent.source)
        if isinstance(repaired, Failure):
            return repaired
        source, note = repaired
        return Proposal(source, prompt=request.prompt, note=note)


def known_repair(source: str, failure: Failure, parent: str = "") -> tuple[str, str] | None:
    """(source, note) repaired without a model; ``None`` if no certain repair applies.

    Args:
        parent: the source it was made from, which may hold missing classes.
    """
    repaired = apply_repairs(source, failure, parent, [repair for repair in REPAIRS if repair.is_certain])
    return None if isinstance(repaired, Failure) or repaired[0] == source else repaired


def apply_repairs(
    failed: str, failure: Failure, parent: str, repairs: Sequence[Repair] = REPAIRS
) -> tuple[str, str] | Failure:
    """(source, note) with every repair whose symptom matches; a failure if none does."""
    notes = []
    code = only_code(failed)
    if code is None:
        return Failure(Step.DEBUG, FailureKind.NOT_APPLICABLE, "the source does not parse")
    if code != failed:
        notes.append(
            "removed the text around the code" if code.strip("\n") in failed else "replaced typographic characters"
        )
    named = with_interface(code)
    if named != code:
        notes.append("added Network(num_classes)")
    try:
        editor = SourceEditor(named)
    except UnreadableSourceError as error:
        return Failure(Step.DEBUG, FailureKind.NOT_APPLICABLE, f"the source cannot be read: {error}")
    case = Case(editor, failure, parent, _lines(failure), code)
    symptoms = f"{failure.kind}\n{failure.message}\n{failure.log_tail}"
    notes += [note for repair in repairs if repair.symptom.search(symptoms) and (note := repair.apply(case))]
    if not notes:
        return Failure(Step.DEBUG, FailureKind.NOT_APPLICABLE, "no known repair for this failure")
    return editor.source, "; ".join(notes)


def _lines(failure: Failure) -> tuple[int, ...]:
    """The line numbers a traceback names, innermost last."""
    found = re.findall(r"line (\d+)", failure.log_tail) or re.findall(r"line (\d+)", failure.message)
    return tuple(int(number) for number in found)


def only_code(text: str) -> str | None:
    """The Python in a text: all of it, its longest fenced block, or what is left without prose; ``None`` if none."""
    if _parses(text):
        return text
    typed = text.translate(_AS_TYPED).expandtabs(4)
    if _parses(typed):
        return typed
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
        if lines[end - 1].startswith((" ", "\t")):
            break  # an indented line is code: a file that was cut off is not shortened further
    return only_code(typed) if typed != text else None


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


def with_interface(code: str) -> str:
    """``code`` with a class ``Network`` that takes ``num_classes``; unchanged if it has one, or has no module."""
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
    own = init.params.params
    if not own or any(given.default is None for given in own[1:]):
        return module.code  # unknown required parameters, or no self
    return syntax.replaced(module, {init: _with_num_classes(init)}).code


def _with_num_classes(init: cst.FunctionDef) -> cst.FunctionDef:
    """``num_classes`` as the first parameter, and as the width of the last linear layer."""
    heads = [call for call in syntax.calls(init.body) if layer_name(call.func) == "Linear"]
    edits: dict[cst.CSTNode, cst.CSTNode] = {
        head: syntax.with_arguments(head, LAYERS["Linear"], {"out_features": "num_classes"}) for head in heads[-1:]
    }
    body = syntax.replaced(init.body, edits)
    own, *rest = init.params.params
    added = syntax.default_parameter("num_classes", "10")
    first = [own.with_changes(comma=syntax.COMMA), added.with_changes(comma=syntax.COMMA) if rest else added]
    return init.with_changes(body=body, params=init.params.with_changes(params=[*first, *rest]))
