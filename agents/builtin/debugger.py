"""The debugger without a language model: known cures for known symptoms (paper F.2.5)."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

import libcst as cst
import numpy as np

from agents.builtin import syntax
from agents.builtin.repair_case import Case, Repair
from agents.builtin.repairs import REPAIRS
from agents.builtin.size_inference import methods
from agents.builtin.source_editor import Draft, UnreadableSourceError
from agents.builtin.torch_layers import LAYERS, layer_name
from fairnad.ports import DebugRequest, Proposal
from fairnad.records.candidate import Failure, FailureKind, Step

_FENCE = re.compile(r"^\s*```[\w+-]*\s*$", re.MULTILINE)
_CODE_START = re.compile(r"^(import |from |class |def |@|#|\"\"\"|''')")
_CLASSES_NAMES = {"n_classes", "nclasses", "num_class", "n_class", "classes", "number_of_classes", "out_features"}


_AS_TYPED = str.maketrans(
    {"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "−": "-", "×": "*", "\u00a0": " ", "\u200b": "", "\ufeff": ""}
)
"""Characters that word processors and web pages put for those of a keyboard."""


class BuiltinDebugger:
    """Mends sources by the cures of :data:`~agents.builtin.repairs.REPAIRS`."""

    async def debug(self, request: DebugRequest) -> Proposal | Failure:
        """The failed source with every cure applied whose symptom shows; *not applicable* where none changes it."""
        mended = mend(request.failed, request.failure, request.parent.source, request.errand.generator, REPAIRS)
        if isinstance(mended, Failure):
            return mended
        source, note = mended
        return Proposal(source, prompt=request.prompt, note=note)


def known_repair(source: str, failure: Failure, parent: str = "") -> tuple[str, str] | None:
    """The source mended without a call, and what was done; ``None`` where no cure is certain to be what was meant.

    Args:
        parent: the source it was made from, for what was left out by mistake.
    """
    certain = tuple(repair for repair in REPAIRS if repair.is_certain)
    mended = mend(source, failure, parent, np.random.default_rng(0), certain)
    return None if isinstance(mended, Failure) or mended[0] == source else mended


def mend(
    failed: str, failure: Failure, parent: str, generator: np.random.Generator, repairs: Sequence[Repair]
) -> tuple[str, str] | Failure:
    """A source with those cures applied whose symptom shows, and what was done; else why nothing was."""
    notes = []
    code = only_code(failed)
    if code is None:
        return Failure(Step.DEBUG, FailureKind.NOT_APPLICABLE, "the source does not parse")
    if code != failed:
        notes.append("text around the code left out" if _parses_within(failed, code) else "characters put right")
    named = with_interface(code)
    if named != code:
        notes.append("Network(num_classes) put in place")
    try:
        draft = Draft(named, generator)
    except UnreadableSourceError as error:
        return Failure(Step.DEBUG, FailureKind.NOT_APPLICABLE, f"the source cannot be read: {error}")
    case = Case(draft, failure, parent, _lines(failure), code)
    symptoms = f"{failure.kind}\n{failure.message}\n{failure.log_tail}"
    notes += [note for repair in repairs if repair.symptom.search(symptoms) and (note := repair.mend(case))]
    if not notes:
        return Failure(Step.DEBUG, FailureKind.NOT_APPLICABLE, "no known cure for this failure")
    return draft.source, "; ".join(notes)


def _parses_within(text: str, code: str) -> bool:
    return code.strip("\n") in text


def _lines(failure: Failure) -> tuple[int, ...]:
    """The line numbers a traceback names, innermost last."""
    found = re.findall(r"line (\d+)", failure.log_tail) or re.findall(r"line (\d+)", failure.message)
    return tuple(int(number) for number in found)


def only_code(text: str) -> str | None:
    """The Python in a text: as it is, from its longest fenced block, or without prose around it; ``None`` if none."""
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
            break  # an indented line is code: a file that was cut off is not made shorter still
    return only_code(typed) if typed != text else None


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
    own = init.params.params
    if not own or any(given.default is None for given in own[1:]):
        return module.code  # it takes what nobody can know here, or not even itself
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
