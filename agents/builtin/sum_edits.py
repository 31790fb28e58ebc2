"""Changes around the residual sum of a block: further terms, fusion, weights, order of normalization and activation."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from agents.builtin import syntax
from agents.builtin.class_reading import ClassReading
from agents.builtin.insertions import Template, Transform, add_member, graft
from agents.builtin.residual_sum import ResidualSum
from agents.builtin.source_editor import Draft
from agents.builtin.torch_layers import ACTIVATIONS, layer_name
from fairnad.ideas.idea import MutationTarget


def _residual_blocks(draft: Draft) -> Iterator[tuple[ClassReading, ResidualSum]]:
    for name in draft.shuffled(draft.reading.blocks):
        reading = draft.read(name)
        if reading.sum is not None and reading.init is not None:
            yield reading, reading.sum


def in_shortcut(text: str) -> Transform:
    """A module of ``(channels)`` behind the shortcut of a block."""
    template = Template(text)

    def place(draft: Draft, target: MutationTarget) -> str:
        for reading, found in _residual_blocks(draft):
            width = reading.width_of(found.shortcut) or reading.output_width
            if template.is_in(reading) or not width:
                continue
            add = graft if target is MutationTarget.MODIFY_MODULE else add_member
            member = add(draft, reading.name, template, width)
            draft.wrap(found.shortcut, f"self.{member}({{}})")
            return f"{template.attribute} in {reading.name}"
        return ""

    return place


def in_sum(text: str) -> Transform:
    """A module of ``(channels)`` that makes a further term of the branch and the shortcut of a block."""
    template = Template(text)

    def place(draft: Draft, target: MutationTarget) -> str:
        for reading, found in _residual_blocks(draft):
            width = reading.width_of(found.branch) or reading.output_width
            if template.is_in(reading) or not width:
                continue
            owner = reading.name
            _name_terms(draft, owner, found)
            renewed = draft.read(owner).sum
            assert renewed is not None
            add = graft if target is MutationTarget.MODIFY_MODULE else add_member
            member = add(draft, owner, template, width)
            terms = f"{syntax.code(renewed.branch)}, {syntax.code(renewed.shortcut)}"
            draft.replace({renewed.node: _plus(renewed.node, f"self.{member}({terms})")})
            return f"{template.attribute} in {owner}"
        return ""

    return place


def _name_terms(draft: Draft, owner: str, found: ResidualSum) -> None:
    """Give branch and shortcut variables of their own, so that each is computed once and used twice."""
    edits: dict[cst.CSTNode, cst.CSTNode] = {}
    lines = []
    for wanted, term in (("branch", found.branch), ("skip", found.shortcut)):
        if not isinstance(term, cst.Name):
            name = draft.free_variable(owner, wanted)
            edits[term] = cst.Name(name)
            lines.append(f"{name} = {syntax.code(term)}")
    statement = draft.statement_of(found.node, owner)
    draft.replace(
        {statement: cst.FlattenSentinel([*syntax.statements("\n".join(lines)), syntax.replaced(statement, edits)])}
    )


def _plus(node: cst.BinaryOperation, term: str) -> cst.BinaryOperation:
    """``node + term``, in the parentheses of ``node``."""
    bare = node.with_changes(lpar=[], rpar=[])
    return cst.BinaryOperation(bare, cst.Add(), syntax.expression(term), lpar=node.lpar, rpar=node.rpar)


def beside_branch(text: str) -> Transform:
    """A path from the input of a block to its sum; the template takes ``(in_channels, out_channels, stride)``."""
    template = Template(text)

    def place(draft: Draft, target: MutationTarget) -> str:
        for reading, found in _residual_blocks(draft):
            if template.is_in(reading) or not reading.widths or not _sees_input(reading, found):
                continue
            owner, stride = reading.name, reading.stride or "1"
            widths = f"{reading.widths[0]}, {reading.output_width}"
            if target is MutationTarget.MODIFY_MODULE:
                member = draft.free_attribute(owner, template.attribute)
                path = f"nn.Conv2d({widths}, 1, {stride}, bias=False), nn.BatchNorm2d({reading.output_width})"
                draft.extend_init(owner, f"self.{member} = nn.Sequential({path})")
            else:
                member = add_member(draft, owner, template, f"{widths}, {stride}")
            draft.replace({found.node: _plus(found.node, f"self.{member}({reading.input})")})
            return f"{template.attribute} in {owner}"
        return ""

    return place


def _sees_input(reading: ClassReading, found: ResidualSum) -> bool:
    """Whether the input of ``forward`` still has its name where the sum is."""
    return reading.definition(reading.input, found.node) is None


def weigh_terms(draft: Draft, target: MutationTarget) -> str:
    """Learned weights for branch and shortcut of a block."""
    for reading, found in _residual_blocks(draft):
        if "branch_weight" in reading.attributes:
            continue
        draft.replace(
            {
                found.branch: _times("self.branch_weight", found.branch),
                found.shortcut: _times("self.shortcut_weight", found.shortcut),
            }
        )
        draft.extend_init(
            reading.name,
            "self.branch_weight = nn.Parameter(torch.ones(1))\nself.shortcut_weight = nn.Parameter(torch.ones(1))",
        )
        return f"learned weights of the sum in {reading.name}"
    return ""


def _times(weight: str, node: cst.BaseExpression) -> cst.BinaryOperation:
    return cst.BinaryOperation(syntax.expression(weight), cst.Multiply(), syntax.enclosed(node))


def bare_sum(draft: Draft, target: MutationTarget) -> str:
    """No activation behind the residual sum of a block, so that the shortcuts form a path without any."""
    for reading, found in _residual_blocks(draft):
        if (edits := _without_activation(reading, found)) is not None:
            draft.replace(edits)
            return f"no activation behind the sum of {reading.name}"
    return ""


def pre_activation(draft: Draft, target: MutationTarget) -> str:
    """Normalization and activation before the first layer of a block's branch instead of behind its sum."""
    for reading, found in _residual_blocks(draft):
        owner = reading.name
        edits = _without_activation(reading, found)
        uses = list(_branch_inputs(reading, found))
        if edits is None or not uses or not reading.widths or "pre_norm" in reading.attributes:
            continue
        variable = draft.free_variable(owner, "pre")
        draft.replace({**edits, **{use: cst.Name(variable) for use in uses}})
        draft.begin_forward(owner, f"{variable} = F.relu(self.pre_norm({reading.input}))")
        draft.extend_init(owner, f"self.pre_norm = nn.BatchNorm2d({reading.widths[0]})")
        return f"pre-activation in {owner}"
    return ""


def _without_activation(reading: ClassReading, found: ResidualSum) -> syntax.Edits | None:
    """The edit that takes the activation behind a sum away; ``None`` where there is none."""
    assert reading.forward is not None
    lines = [node for node in syntax.walk(reading.forward.body) if isinstance(node, cst.SimpleStatementLine)]
    for line in lines:
        for call in syntax.calls(line):
            argument = call.args[0].value if len(call.args) == 1 and _activates(reading, call) else None
            if argument is found.node or (argument is not None and _is_named_sum(reading, argument, found)):
                assert argument is not None
                bare = syntax.replaced(line, {call: argument})
                left, _, right = syntax.code(bare).strip().partition(" = ")
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
    """Where the branch reads the input of the block; nothing where the input's name is used again."""
    assert reading.forward is not None
    if not _sees_input(reading, found):
        return
    skipped = set(syntax.walk(found.shortcut))
    if isinstance(found.shortcut, cst.Name) and (defined := reading.definition(found.shortcut.value, found.shortcut)):
        skipped |= set(syntax.walk(defined))
    skipped |= set(syntax.walk(found.node)) - set(syntax.walk(found.branch))
    for node in syntax.walk(reading.forward.body):
        if isinstance(node, cst.Name) and node.value == reading.input and node not in skipped:
            yield node
