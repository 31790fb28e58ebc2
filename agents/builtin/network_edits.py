"""Changes of the network as a whole: stages added and joined, downsampling, stem and head."""

from __future__ import annotations

from itertools import pairwise

import libcst as cst

from agents.builtin import syntax
from agents.builtin.insertions import Template, Transform, add_member, open_stages, run_behind
from agents.builtin.network_reading import Stage
from agents.builtin.source_editor import Draft
from agents.builtin.torch_layers import Role, layer_name
from fairnad.ideas.idea import MutationTarget

_LARGE_MAP = 6
"""From this side on, in pixels, a map can be halved once more."""


def instead_of_stem(text: str) -> Transform:
    """A new stem of ``(in_channels, out_channels)`` in the place of one that keeps the resolution."""
    template = Template(text)

    def place(draft: Draft, target: MutationTarget) -> str:
        network = draft.reading.network
        values = network.members.get(draft.reading.stem, [])
        width = network.built_width(values[0]) if len(values) == 1 else ""
        if target is MutationTarget.MODIFY_MODULE or not width or template.is_in(network):
            return ""
        if draft.reading.stem in {stage.name for stage in draft.reading.stages} or _strides(draft, values[0]):
            return ""
        name = draft.free_class_name(template.name)
        draft.replace({values[0]: syntax.expression(f"{name}(3, {width})")})
        draft.add_class(template.text, name)
        return f"{template.attribute} in the place of the stem"

    return place


def _strides(draft: Draft, value: cst.BaseExpression) -> bool:
    """Whether what ``value`` builds lowers the resolution."""
    roles, scope = draft.reading.roles, draft.reading.scope
    built = [name for call in syntax.calls(value) for name in roles.class_names(call.func, scope)]
    for node in (value, *(roles.classes[name] for name in built)):
        for call in syntax.calls(node):
            strides = [syntax.integer(a) for role, a in roles.argument_roles(call, scope) if role is Role.STRIDE]
            if any(stride not in (1, None) for stride in strides):
                return True
    return False


def stack_behind(text: str, depth: int) -> Transform:
    """A stack of ``depth`` new blocks of ``(channels)`` behind the last stage."""
    template = Template(text)

    def place(draft: Draft, target: MutationTarget) -> str:
        stages = open_stages(draft)
        if not stages or template.is_in(draft.reading.network):
            return ""
        stage, name = stages[-1], draft.free_class_name(template.name)
        member = draft.free_attribute("Network", f"{template.attribute}s")
        built = f"nn.Sequential(*[{name}({stage.width}) for _ in range({depth})])"
        _run_behind_stage(draft, stage, member)
        draft.extend_init("Network", f"self.{member} = {built}", after=stage.statement)
        draft.add_class(template.text, name)
        return f"{depth} × {template.attribute} behind the last stage"

    return place


def _run_behind_stage(draft: Draft, stage: Stage, member: str) -> None:
    call = draft.reading.call_of(stage.name)
    assert call is not None
    run_behind(draft, call, member)


def extra_stage(draft: Draft, target: MutationTarget) -> str:
    """One more stage, built as the last one, at half the resolution where the map is large enough."""
    stages = open_stages(draft)
    if not stages or stages[-1].name != draft.reading.stages[-1].name:
        return ""
    last = stages[-1]
    value = _built_alike(draft, last)
    if value is None:
        return ""
    member = draft.free_attribute("Network", last.name)
    _run_behind_stage(draft, last, member)
    draft.extend_init("Network", f"self.{member} = {syntax.code(value)}", after=last.statement)
    return f"a further stage {member}"


def _built_alike(draft: Draft, stage: Stage) -> cst.BaseExpression | None:
    """What builds one more stage behind ``stage``: its width going in, two blocks deep."""
    signature = draft.reading.roles.called(stage.value, draft.reading.scope)
    repeats = signature.of_role(Role.REPEATS) if signature else ()
    if signature is None or not repeats:
        return _plain_stage(draft, stage)
    values = dict.fromkeys(repeats, "2")
    values |= dict.fromkeys(signature.of_role(Role.STRIDE), "2" if can_be_halved(draft, stage.name) else "1")
    widths = signature.of_role(Role.WIDTH)
    if len(widths) == 2:
        values |= dict.fromkeys(widths, stage.width)
    return syntax.with_arguments(stage.value, signature.names, values)


def _plain_stage(draft: Draft, stage: Stage) -> cst.BaseExpression | None:
    """Two blocks that keep the shape, where a block needs no more than its widths."""
    reading = draft.read(stage.blocks[0])
    widths = reading.widths
    required = {p.name.value for p in syntax.parameters(reading.init) if p.default is None} if reading.init else set()
    is_plain = reading.signature.names[: len(widths)] == widths and reading.output_width == widths[-1]
    if len(widths) > 2 or not is_plain or not required <= set(widths):
        return None
    arguments = ", ".join([stage.width] * len(widths))
    return syntax.expression(f"nn.Sequential(*[{reading.name}({arguments}) for _ in range(2)])")


def can_be_halved(draft: Draft, member: str) -> bool:
    """Whether a member's output is known to be large enough, and even, so that all ways to halve it agree."""
    shapes = [shape for _, name, shape in (draft.report.blocks if draft.report else ()) if name == member]
    sides = shapes[-1][2:] if shapes and len(shapes[-1]) == 4 else ()
    return bool(sides) and all(side >= _LARGE_MAP and side % 2 == 0 for side in sides)


def aggregate_stage(text: str) -> Transform:
    """A module that runs the blocks of a stage and joins all their outputs."""
    template = Template(text)

    def place(draft: Draft, target: MutationTarget) -> str:
        if target is MutationTarget.MODIFY_MODULE:
            return ""
        for stage in draft.shuffled(draft.reading.stages):
            is_sequence = _builds_sequence(draft, stage)
            if stage.width and is_sequence:
                name = draft.free_class_name(template.name)
                draft.replace({stage.value: syntax.expression(f"{name}({syntax.code(stage.value)}, {stage.width})")})
                draft.add_class(template.text, name)
                return f"{template.attribute} around {stage.name}"
        return ""

    return place


def _builds_sequence(draft: Draft, stage: Stage) -> bool:
    """Whether a stage is a plain ``nn.Sequential`` of blocks of one width."""
    method = draft.reading.network.methods.get(syntax.self_attribute(stage.value.func))
    returned: list[cst.CSTNode | None] = [stage.value]
    if method is not None:
        returned = [node.value for node in syntax.walk(method.body) if isinstance(node, cst.Return)]
    names = [layer_name(value.func) for value in returned if isinstance(value, cst.Call)]
    return bool(names) and set(names) == {"Sequential"}


def fuse_stages(text: str) -> Transform:
    """A module that adds the outputs of the earlier stages to the last one's."""
    template = Template(text)

    def place(draft: Draft, target: MutationTarget) -> str:
        stages = open_stages(draft)
        if target is MutationTarget.MODIFY_MODULE or len(stages) < 2 or template.is_in(draft.reading.network):
            return ""
        earlier = [_keep_output(draft, stage) for stage in stages[:-1]]
        widths = _tuple_of([stage.width for stage in stages[:-1]])
        member = add_member(draft, "Network", template, f"{widths}, {stages[-1].width}")
        call = draft.reading.call_of(stages[-1].name)
        assert call is not None
        draft.wrap(call, f"self.{member}({{}}, {_tuple_of(earlier)})")
        return f"{template.attribute} of {len(stages)} stages"

    return place


def _tuple_of(items: list[str]) -> str:
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def _keep_output(draft: Draft, stage: Stage) -> str:
    """Give the output of a stage a name of its own; returns the name."""
    call = draft.reading.call_of(stage.name)
    assert call is not None
    name = draft.free_variable("Network", f"{stage.name}_output")
    line = draft.statement_of(call, "Network")
    small = line.body[0]
    if isinstance(small, cst.Assign) and small.value is call:
        variable = syntax.code(small.targets[0].target)
        draft.insert_after(call, "Network", f"{name} = {variable}")
    else:
        draft.wrap(call, f"({name} := {{}})")
    return name


def separate_downsampling(text: str) -> Transform:
    """A layer of its own that halves the resolution before a stage, which then keeps it."""
    template = Template(text)

    def place(draft: Draft, target: MutationTarget) -> str:
        stages = open_stages(draft)
        for before, stage in draft.shuffled(pairwise(stages)):
            literal = stride_literal(draft, stage)
            if literal is None or syntax.integer(literal) != 2:
                continue
            draft.replace({literal: cst.Integer("1")})
            call = draft.reading.call_of(stage.name)
            assert call is not None and call.args
            name = draft.free_class_name(template.name)
            member = draft.free_attribute("Network", template.attribute)
            draft.wrap(call.args[0].value, f"self.{member}({{}})")
            draft.extend_init("Network", f"self.{member} = {name}({before.width})", after=before.statement)
            draft.add_class(template.text, name)
            return f"{template.attribute} before {stage.name}"
        return ""

    return place


def stride_literal(draft: Draft, stage: Stage) -> cst.Integer | None:
    """The literal a stage hands over as its stride; ``None`` where it is not that simple."""
    roles, scope = draft.reading.roles, draft.reading.scope
    found: set[cst.Integer] = set()
    for call in syntax.calls(stage.value):
        for role, argument in roles.argument_roles(call, scope):
            if role is Role.STRIDE:
                found |= _plain_literals(argument)
    return found.pop() if len(found) == 1 else None


def _plain_literals(argument: cst.BaseExpression) -> set[cst.Integer]:
    """``argument`` itself, or the branch of a choice that is more than 1."""
    if isinstance(argument, cst.IfExp):
        branches = _plain_literals(argument.body) | _plain_literals(argument.orelse)
        return {branch for branch in branches if syntax.integer(branch) != 1}
    return {argument} if isinstance(argument, cst.Integer) else set()


def shift_stride(draft: Draft, target: MutationTarget) -> str:
    """Downsample earlier or later: two neighbouring stages exchange their strides."""
    stages = draft.reading.stages
    literals = [stride_literal(draft, stage) for stage in stages]
    pairs = [
        (one, other, a, b)
        for (a, one), (b, other) in pairwise(zip(stages, literals, strict=True))
        if one is not None and other is not None and one is not other and one.value != other.value
    ]
    if not pairs:
        return ""
    one, other, a, b = draft.choose(pairs)
    draft.replace({one: cst.Integer(other.value), other: cst.Integer(one.value)})
    return f"strides of {a.name} and {b.name} exchanged"


def normalize_head(draft: Draft, target: MutationTarget) -> str:
    """Layer normalization of the pooled features before the classifier."""
    head, network = draft.reading.head, draft.reading.network
    call = draft.reading.call_of(head[0]) if head else None
    is_linear = head is not None and head[1] in network.members[head[0]]
    if (
        call is None
        or not call.args
        or not is_linear
        or not draft.reading.end_width
        or "head_norm" in network.attributes
    ):
        return ""
    width = draft.reading.end_width
    draft.wrap(call.args[0].value, "self.head_norm({})")
    draft.extend_init("Network", f"self.head_norm = nn.LayerNorm({width})")
    return "layer normalization before the head"
