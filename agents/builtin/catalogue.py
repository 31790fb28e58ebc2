"""The transformations of the built-in designer: the changes it can make, and the library entries that use them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from agents.builtin import block_swaps, insertions, network_edits, replacements, scaling, sum_edits
from agents.builtin.source_editor import SourceEditor
from fairnad.errors import PackError
from fairnad.ideas.attribute_tree import Category
from fairnad.ideas.idea import MutationTarget
from prompts.module_library import Entry, ModuleLibrary

Transform = Callable[[SourceEditor, MutationTarget], str]
"""Edits a source and returns a note that says what it did, or ``""`` if it found no place."""

CHANGES: Mapping[str, Callable[[Entry, SourceEditor, MutationTarget], str]] = {
    "after-branch": insertions.after_branch,
    "after-stem": insertions.after_stem,
    "after-last-stage": insertions.after_last_stage,
    "after-each-stage": insertions.after_each_stage,
    "stack-after-stages": insertions.stack_after_stages,
    "aggregate-stage": insertions.aggregate_stage,
    "fuse-stages": insertions.fuse_stages,
    "downsample-with": insertions.downsample_with,
    "add-path": sum_edits.add_path,
    "add-to-shortcut": sum_edits.add_to_shortcut,
    "add-to-sum": sum_edits.add_to_sum,
    "weigh-sum": sum_edits.weigh_sum,
    "remove-sum-activation": sum_edits.remove_sum_activation,
    "pre-activation": sum_edits.pre_activate,
    "replace-convolution": replacements.replace_convolution,
    "replace-normalization": replacements.replace_normalization,
    "replace-activation": replacements.replace_activation,
    "replace-stem": replacements.replace_stem,
    "replace-blocks": block_swaps.replace_blocks,
    "replace-last-blocks": block_swaps.replace_last_blocks,
    "rewrite-convolution": replacements.rewrite_convolution,
    "larger-kernel": replacements.enlarge_kernel,
    "inner-width": replacements.change_inner_width,
    "swap-normalization": replacements.swap_normalization,
    "swap-activation": replacements.swap_activation,
    "extra-stage": network_edits.add_stage,
    "shift-stride": network_edits.shift_stride,
    "normalize-head": network_edits.normalize_head,
    "shift-depth": lambda entry, editor, target: scaling.shift_depth(editor, target),
    "widen": lambda entry, editor, target: scaling.widen(editor, target),
    "steepen-widths": lambda entry, editor, target: scaling.steepen_widths(editor, target),
    "compound-scaling": lambda entry, editor, target: scaling.compound(editor, target),
}
"""The values of ``change`` in a library entry."""

UPSCALING: Mapping[str, Transform] = {
    "deepen-middle": scaling.deepen("middle"),
    "deepen-end": scaling.deepen("end"),
    "widen-proportional": scaling.widen,
    "widen-unevenly": scaling.widen_unevenly,
}
"""Model up-scaling of stage II, by the action that a pack's idea names (paper F.2.3)."""

ADJUSTING: Mapping[str, Transform] = {
    "kernel": replacements.change_kernel,
    "stride": network_edits.change_stride,
    "squeeze-excitation": network_edits.toggle_squeeze_excitation,
    "activation": replacements.change_activation,
}
"""Hyper-parameter adjustment of stage II, by action."""


@dataclass(frozen=True)
class Transformation:
    """One way to carry out an idea; ``words`` are phrases in lower case."""

    name: str
    categories: tuple[Category, ...]
    targets: frozenset[MutationTarget]
    apply: Transform
    words: tuple[str, ...]

    def score(self, text: str, sub_category: str) -> int:
        """Score of the fit to an idea: 2 for each phrase in its text, 1 for each in its sub-category."""
        in_text = sum(phrase in text.lower() for phrase in self.words)
        return 2 * in_text + sum(phrase in sub_category.lower() for phrase in self.words)


def transformations(library: ModuleLibrary) -> tuple[Transformation, ...]:
    """The transformations of a library, in its order.

    Raises:
        PackError: an entry names an unknown change.
    """
    for entry in library.transformations:
        if entry.change not in CHANGES:
            expected = f"expected one of ({', '.join(CHANGES)}), found {entry.change!r}"
            raise PackError(f"module library: {entry.name!r}: change: {expected}")
    return tuple(
        Transformation(entry.name, entry.categories, entry.targets, partial(CHANGES[entry.change], entry), entry.words)
        for entry in library.transformations
    )
