"""Changes around the residual sum of a block: more terms, weights, the order of normalization and activation.

The functions are changes of the built-in designer, see :mod:`agents.builtin.insertions`.
"""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from agents.builtin import syntax
from agents.builtin.class_reading import ClassReading, ResidualSum
from agents.builtin.insertions import add_member, add_or_graft, template
from agents.builtin.source_editor import SourceEditor
from agents.builtin.torch_layers import ACTIVATIONS, layer_name
from fairnad.ideas.idea import MutationTarget
from prompts.module_library import Entry


def _residual_blocks(editor: SourceEditor) -> Iterator[tuple[ClassReading, ResidualSum]]:
    for name in editor.shuffled(editor.reading.blocks):
        reading = editor.read(name)
        if reading.sum is not None and reading.init is not None:
            yield reading, reading.sum


def add_to_shortcut(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """Add a module of ``(channels)`` after the shortcut of a block."""
    module = template(entry.source)
    for reading, found in _residual_blocks(editor):
        width = reading.width_of(found.shortcut) or reading.output_width
        if not module.is_in(reading) and width:
            member = add_or_graft(editor, reading.name, module, width, target)
            editor.wrap(found.shortcut, f"self.{member}({{}})")
            return f"{module.attribute} on the shortcut of {reading.name}"
    return ""


def add_to_sum(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """Add a third term to the sum: a module of ``(channels)``, applied to branch and shortcut."""
    module = template(entry.source)
    for reading, found in _residual_blocks(editor):
        width = reading.width_of(found.branch) or reading.output_width
        if module.is_in(reading) or not width:
            continue
        _name_terms(editor, reading.name, found)
        renewed = editor.read(reading.name).sum
        assert renewed is not None
        member = add_or_graft(editor, reading.name, module, width, target)
        terms = f"{syntax.code(renewed.branch)}, {syntax.code(renewed.shortcut)}"
        editor.replace({renewed.node: _plus(renewed.node, f"self.{member}({terms})")})
        return f"{module.attribute} as a third term of the sum in {reading.name}"
    return ""


def _name_terms(editor: SourceEditor, owner: str, found: ResidualSum) -> None:
    """Assign branch and shortcut to variables, so that each is computed once and used twice."""
    edits: dict[cst.CSTNode, cst.CSTNode] = {}
    lines = []
    for wanted, term in (("branch", found.branch), ("skip", found.shortcut)):
        if not isinstance(term, cst.Name):
            name = editor.free_variable(owner, wanted)
            edits[term] = cst.Name(name)
            lines.append(f"{name} = {syntax.code(term)}")
    statement = editor.statement_of(found.node, owner)
    renamed = syntax.replaced(statement, edits)
    editor.replace({statement: cst.FlattenSentinel([*syntax.statements("\n".join(lines)), renamed])})


def _plus(node: cst.BinaryOperation, term: str) -> cst.BinaryOperation:
    """``node + term``, in the parentheses of ``node``."""
    bare = node.with_changes(lpar=[], rpar=[])
    return cst.BinaryOperation(bare, cst.Add(), syntax.expression(term), lpar=node.lpar, rpar=node.rpar)


def add_path(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """Add a path from the input of a block to its sum, a module of ``(in_channels, out_channels, stride)``."""
    module = template(entry.source)
    for reading, found in _residual_blocks(editor):
        if module.is_in(reading) or not reading.widths or not _sees_input(reading, found):
            continue
        owner, stride = reading.name, reading.stride or "1"
        widths = f"{reading.widths[0]}, {reading.output_width}"
        if target is MutationTarget.MODIFY_MODULE:
            member = editor.free_attribute(owner, module.attribute)
            path = f"nn.Conv2d({widths}, 1, {stride}, bias=False), nn.BatchNorm2d({reading.output_width})"
            editor.extend_init(owner, f"self.{member} = nn.Sequential({path})")
        else:
            member = add_member(editor, owner, module, f"{widths}, {stride}")
        editor.replace({found.node: _plus(found.node, f"self.{member}({reading.input})")})
        return f"{module.attribute} as an added path in {owner}"
    return ""


def _sees_input(reading: ClassReading, found: ResidualSum) -> bool:
    """Whether the input variable of ``forward`` is unchanged at the sum."""
    return reading.definition(reading.input, found.node) is None


def weigh_sum(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """Add learned weights for branch and shortcut of a block."""
    for reading, found in _residual_blocks(editor):
        if "branch_weight" not in reading.attributes:
            terms = {"branch_weight": found.branch, "shortcut_weight": found.shortcut}
            editor.replace({term: _times(f"self.{name}", term) for name, term in terms.items()})
            editor.extend_init(reading.name, "\n".join(f"self.{name} = nn.Parameter(torch.ones(1))" for name in terms))
            return f"added learned weights to the sum of {reading.name}"
    return ""


def _times(weight: str, node: cst.BaseExpression) -> cst.BinaryOperation:
    return cst.BinaryOperation(syntax.expression(weight), cst.Multiply(), syntax.enclosed(node))


def remove_sum_activation(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """Remove the activation after the residual sum of a block, so that shortcuts form a path without any."""
    for reading, found in _residual_blocks(editor):
        if (edits := _without_activation(reading, found)) is not None:
            editor.replace(edits)
            return f"removed the activation after the sum of {reading.name}"
    return ""


def pre_activate(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """Move activation from after the sum of a block to before its branch, with a normalization."""
    for reading, found in _residual_blocks(editor):
        edits, uses = _without_activation(reading, found), list(_branch_inputs(reading, found))
        if edits is None or not uses or not reading.widths or "pre_norm" in reading.attributes:
            continue
        owner, variable = reading.name, editor.free_variable(reading.name, "pre")
        editor.replace({**edits, **{use: cst.Name(variable) for use in uses}})
        editor.begin_forward(owner, f"{variable} = F.relu(self.pre_norm({reading.input}))")
        editor.extend_init(owner, f"self.pre_norm = nn.BatchNorm2d({reading.widths[0]})")
        return f"pre-activation in {owner}"
    return ""


def _without_activation(reading: ClassReading, found: ResidualSum) -> syntax.Edits | None:
    """The edit that removes the activation after a sum; ``None`` if there is no activation."""
    for line in (node for node in reading.order if isinstance(node, cst.SimpleStatementLine)):
        for call in syntax.calls(line):
            argument = call.args[0].value if len(call.args) == 1 and _activates(reading, call) else None
            if argument is not None and (argument is found.node or _is_named_sum(reading, argument, found)):
                left, _, right = syntax.code(syntax.replaced(line, {call: argument})).strip().partition(" = ")
                return {line: cst.RemoveFromParent()} if left == right else {call: argument}
    return None


def _is_named_sum(reading: ClassReading, node: cst.BaseExpression, found: ResidualSum) -> bool:
    return isinstance(node, cst.Name) and reading.definition(node.value, node) is found.node


def _activates(reading: ClassReading, call: cst.Call) -> bool:
    front, _, name = syntax.dotted(call.func).rpartition(".")
    if front in ("F", "torch"):
        return name in ACTIVATIONS.values()
    values = reading.members.get(syntax.self_attribute(call.func), [])
    return any(isinstance(value, cst.Call) and layer_name(value.func) in ACTIVATIONS for value in values)


def _branch_inputs(reading: ClassReading, found: ResidualSum) -> Iterator[cst.Name]:
    """The nodes where the branch reads the input of the block; empty if the input variable is reassigned."""
    if not _sees_input(reading, found):
        return
    skipped = set(syntax.walk(found.shortcut))
    if isinstance(found.shortcut, cst.Name) and (defined := reading.definition(found.shortcut.value, found.shortcut)):
        skipped |= set(syntax.walk(defined))
    skipped |= set(syntax.walk(found.node)) - set(syntax.walk(found.branch))
    for node in reading.order:
        if isinstance(node, cst.Name) and node.value == reading.input and node not in skipped:
            yield node
