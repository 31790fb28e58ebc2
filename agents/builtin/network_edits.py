"""Changes of the network as a whole: another stage, exchanged strides, normalization before the head; switches.

The functions are changes of the built-in designer, see :mod:`agents.builtin.insertions`.
"""

from __future__ import annotations

from itertools import pairwise

import libcst as cst

from agents.builtin import syntax
from agents.builtin.insertions import add_after_stage, stride_literal
from agents.builtin.network_reading import Stage
from agents.builtin.source_editor import SourceEditor
from agents.builtin.torch_layers import SizeUse
from fairnad.ideas.idea import MutationTarget
from prompts.module_library import Entry

_MIN_SIDE = 6
"""Maps of at least this side, in pixels, are halved once more."""


def add_stage(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """Add a stage built like the last one, at half the resolution if the map is large enough."""
    stages = editor.reading.open_stages
    if not stages or stages[-1].name != editor.reading.stages[-1].name:
        return ""
    value = _build_like(editor, stages[-1])
    if value is None:
        return ""
    member = add_after_stage(editor, stages[-1], stages[-1].name, syntax.code(value))
    return f"added stage {member}"


def _build_like(editor: SourceEditor, stage: Stage) -> cst.BaseExpression | None:
    """The expression for another stage of the same width, two blocks deep."""
    signature = editor.reading.sizes.called(stage.value, editor.reading.scope)
    repeats = signature.of_use(SizeUse.REPEATS) if signature else ()
    if signature is None or not repeats:
        return _plain_stage(editor, stage)
    values = dict.fromkeys(repeats, "2")
    stride = "2" if _can_be_halved(editor, stage.name) else "1"
    values |= dict.fromkeys(signature.of_use(SizeUse.STRIDE), stride)
    widths = signature.of_use(SizeUse.WIDTH)
    values |= dict.fromkeys(widths, stage.width) if len(widths) == 2 else {}
    return syntax.with_arguments(stage.value, signature.names, values)


def _plain_stage(editor: SourceEditor, stage: Stage) -> cst.BaseExpression | None:
    """Two blocks that keep the shape, if a block takes only its widths."""
    reading = editor.read(stage.blocks[0])
    widths = reading.widths
    required = {p.name.value for p in syntax.parameters(reading.init) if p.default is None} if reading.init else set()
    is_plain = reading.signature.names[: len(widths)] == widths and reading.output_width == widths[-1]
    if len(widths) > 2 or not is_plain or not required <= set(widths):
        return None
    arguments = ", ".join([stage.width] * len(widths))
    return syntax.expression(f"nn.Sequential(*[{reading.name}({arguments}) for _ in range(2)])")


def _can_be_halved(editor: SourceEditor, member: str) -> bool:
    """Whether a member's output is known to be large enough, and even, so that all ways to halve it agree."""
    shapes = [shape for _, name, shape in (editor.report.blocks if editor.report else ()) if name == member]
    sides = shapes[-1][2:] if shapes and len(shapes[-1]) == 4 else ()
    return bool(sides) and all(side >= _MIN_SIDE and side % 2 == 0 for side in sides)


def shift_stride(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """Downsample earlier or later: two neighbouring stages exchange their strides."""
    return _exchange_strides(editor)


def _exchange_strides(editor: SourceEditor) -> str:
    stages = [(stage, stride_literal(editor, stage)) for stage in editor.reading.stages]
    pairs = [
        (one, other, a, b)
        for (a, one), (b, other) in pairwise(stages)
        if one is not None and other is not None and one is not other and one.value != other.value
    ]
    if not pairs:
        return ""
    one, other, a, b = editor.choose(pairs)
    editor.replace({one: cst.Integer(other.value), other: cst.Integer(one.value)})
    return f"swapped the strides of {a.name} and {b.name}"


def change_stride(editor: SourceEditor, target: MutationTarget) -> str:
    """Swap the strides of two stages; otherwise change the stride of one stage if its map is large enough."""
    if note := _exchange_strides(editor):
        return note
    stages = editor.reading.stages
    others = {2: 1, 1: 2} if stages and _can_be_halved(editor, stages[-1].name) else {2: 1}
    for stage in editor.shuffled(stages):
        literal = stride_literal(editor, stage)
        new = others.get(syntax.integer(literal) or 0)
        if literal is not None and new is not None:
            editor.replace({literal: cst.Integer(str(new))})
            return f"stride {new} in {stage.name}"
    return ""


def toggle_squeeze_excitation(editor: SourceEditor, target: MutationTarget) -> str:
    """Toggle the default of a block's own switch for squeeze-and-excitation."""
    for owner in editor.shuffled(editor.reading.blocks):
        init = editor.read(owner).init
        for parameter in syntax.parameters(init) if init else ():
            name, default = parameter.name.value, parameter.default
            value = default.value if isinstance(default, cst.Name) else ""
            if default is not None and value in ("True", "False") and "se" in name.lower().split("_"):
                toggled = "False" if value == "True" else "True"
                editor.replace({default: cst.Name(toggled)})
                return f"{name}={toggled} in {owner}"
    return ""


def normalize_head(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """Add layer normalization of the pooled features before the classifier."""
    reading = editor.reading
    head, network, width = reading.head, reading.network, reading.end_width
    call = reading.call_of(head[0]) if head else None
    is_linear = head is not None and head[1] in network.members[head[0]]
    if call is None or not call.args or not is_linear or not width or "head_norm" in network.attributes:
        return ""
    editor.wrap(call.args[0].value, "self.head_norm({})")
    editor.extend_init("Network", f"self.head_norm = nn.LayerNorm({width})")
    return "layer normalization before the head"
