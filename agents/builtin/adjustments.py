"""What the predefined ideas of stage II do: one transformation for each action a pack can name (paper F.2.3)."""

from __future__ import annotations

from collections.abc import Mapping

import libcst as cst

from agents.builtin import syntax
from agents.builtin.block_edits import change_kernel, swap_activation
from agents.builtin.insertions import Transform, in_branch
from agents.builtin.network_edits import can_be_halved, shift_stride, stride_literal
from agents.builtin.scaling import deepen, widen, widen_unevenly
from agents.builtin.source_editor import Draft
from agents.builtin.templates import recalibration
from agents.builtin.torch_layers import ACTIVATIONS
from fairnad.ideas.idea import MutationTarget

_MAX_KERNEL = 7


def neighbouring_kernels(size: int) -> list[int]:
    """The odd kernel sizes next to ``size``, from 3 to 7."""
    return [near for near in (size - 2, size + 2) if 3 <= near <= _MAX_KERNEL]


def larger_kernel(size: int) -> list[int]:
    """The odd kernel size above ``size``, up to 7."""
    return [size + 2] if size + 2 <= _MAX_KERNEL else []


def change_stride(draft: Draft, target: MutationTarget) -> str:
    """Two stages exchange their strides; else one stage gets another, where its map is large enough."""
    if note := shift_stride(draft, target):
        return note
    stages = draft.reading.stages
    others = {2: 1, 1: 2} if stages and can_be_halved(draft, stages[-1].name) else {2: 1}
    for stage in draft.shuffled(stages):
        literal = stride_literal(draft, stage)
        new = others.get(syntax.integer(literal) or 0)
        if literal is not None and new is not None:
            draft.replace({literal: cst.Integer(str(new))})
            return f"stride {new} in {stage.name}"
    return ""


def toggle_squeeze_excitation(draft: Draft, target: MutationTarget) -> str:
    """The default of a block's own switch for it turned over; a gate of ours where there is no switch."""
    for owner in draft.shuffled(draft.reading.blocks):
        init = draft.read(owner).init
        for parameter in syntax.parameters(init) if init else ():
            default = parameter.default
            is_switch = isinstance(default, cst.Name) and default.value in ("True", "False")
            if is_switch and isinstance(default, cst.Name) and "se" in parameter.name.value.lower().split("_"):
                turned = "False" if default.value == "True" else "True"
                draft.replace({default: cst.Name(turned)})
                return f"{parameter.name.value}={turned} in {owner}"
    return in_branch(recalibration.CHANNEL_GATE)(draft, MutationTarget.NEW_MODULE)


def change_activation(draft: Draft, target: MutationTarget) -> str:
    """Another activation, drawn at random, in a block."""
    for name in draft.shuffled(ACTIVATIONS):
        if note := swap_activation(name)(draft, target):
            return note
    return ""


UPSCALING: Mapping[str, Transform] = {
    "deepen-middle": deepen("middle"),
    "deepen-end": deepen("end"),
    "widen-proportional": widen,
    "widen-unevenly": widen_unevenly,
}
"""Model up-scaling, by action."""

ADJUSTING: Mapping[str, Transform] = {
    "kernel": change_kernel(neighbouring_kernels),
    "stride": change_stride,
    "squeeze-excitation": toggle_squeeze_excitation,
    "activation": change_activation,
}
"""Hyper-parameter adjustment, by action."""
