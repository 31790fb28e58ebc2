"""Depth and width of a network, changed in the literals that define them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import libcst as cst
import numpy as np

from agents.builtin import syntax
from agents.builtin.source_editor import SourceEditor
from agents.builtin.torch_layers import SizeUse
from fairnad.ideas.idea import MutationTarget

MIN_WIDTH = 4
"""The smallest width."""

_FACTORS = (1.2, 2.0)
"""The smallest and the largest growth of depth or width in one step."""


@dataclass(frozen=True)
class Size:
    """The size of a network: the literals of its repeats, and its distinct widths.

    Equal widths stay equal, so that layers still fit together.
    """

    repeats: tuple[int, ...]
    widths: tuple[int, ...]


class Sizing:
    """The literals that define the size of a network."""

    def __init__(self, editor: SourceEditor) -> None:
        sizes = editor.reading.sizes
        self._editor = editor
        self._repeats = sizes.literals(SizeUse.REPEATS)
        self._widths = sizes.literals(SizeUse.WIDTH)
        self.repeats = tuple(value_of(node) for node in self._repeats)
        self.widths = tuple(sorted({value_of(node) for node in self._widths}))
        self.step = _width_step(editor)

    @property
    def size(self) -> Size:
        """The size before any change."""
        return Size(self.repeats, self.widths)

    def apply(self, size: Size) -> str:
        """Change the source to ``size`` and return a note; may be called once."""
        new_width = dict(zip(self.widths, size.widths, strict=True))
        edits: dict[cst.CSTNode, cst.CSTNode] = {
            node: cst.Integer(str(value)) for node, value in zip(self._repeats, size.repeats, strict=True)
        }
        edits |= {node: cst.Integer(str(new_width[value_of(node)])) for node in self._widths}
        self._editor.replace(edits)
        parts = (("repeats", self.repeats, size.repeats), ("widths", self.widths, size.widths))
        changes = (f"{name} {listed(before)} → {listed(after)}" for name, before, after in parts if before != after)
        return ", ".join(changes)

    def fitted(self, width: float) -> int:
        """``width``, rounded to a multiple of what groups and heads need."""
        return max(MIN_WIDTH, self.step * max(1, round(width / self.step)))

    def deepened(self, factor: float, place: str) -> tuple[int, ...]:
        """More repeats by ``factor``, most of them in the ``middle`` or at the ``end``."""
        deeper = list(self.repeats)
        weights = depth_weights(len(deeper), place)
        while sum(deeper) < max(sum(self.repeats) + 1, round(sum(self.repeats) * factor)):
            deeper[min(range(len(deeper)), key=lambda i: (deeper[i] / weights[i], -weights[i]))] += 1
        return tuple(deeper)

    def widened(self, factors: Sequence[float]) -> tuple[int, ...]:
        """Each width larger by its factor."""
        return tuple(max(w, self.fitted(w * factor)) for w, factor in zip(self.widths, factors, strict=True))


def value_of(node: cst.Integer) -> int:
    """The number of a literal."""
    value = syntax.integer(node)
    assert value is not None
    return value


def _width_step(editor: SourceEditor) -> int:
    """A number that every width is a multiple of: 4, or more for fixed groups or heads."""
    step = 4
    for name in editor.reading.sizes.classes:
        for node in editor.reading.sizes.literals(SizeUse.GROUPS, name):
            if value_of(node) <= 16:
                step = math.lcm(step, value_of(node))
    return min(step, 48)


def depth_weights(num_stages: int, place: str) -> list[int]:
    """Relative depths of the stages, largest in the ``middle`` or at the ``end``."""
    if place == "end":
        return [2 + i for i in range(num_stages)]
    return [2 + min(i, num_stages - 1 - i) for i in range(num_stages)]


def deepen(place: str) -> Callable[[SourceEditor, MutationTarget], str]:
    """Add repeats, most of them in the ``middle`` or at the ``end`` of the network."""

    def grow(editor: SourceEditor, target: MutationTarget) -> str:
        sizing = Sizing(editor)
        if not sizing.repeats:
            return ""
        return sizing.apply(Size(sizing.deepened(editor.generator.uniform(*_FACTORS), place), sizing.widths))

    return grow


def widen(editor: SourceEditor, target: MutationTarget) -> str:
    """Increase every width by one factor."""
    sizing = Sizing(editor)
    return _widen(sizing, [editor.generator.uniform(*_FACTORS)] * len(sizing.widths))


def widen_unevenly(editor: SourceEditor, target: MutationTarget) -> str:
    """Increase each distinct width by its own factor."""
    sizing = Sizing(editor)
    num_widths = len(sizing.widths)
    factors = list(editor.generator.uniform(1.0, _FACTORS[1], num_widths))
    if num_widths:
        factors[int(editor.generator.integers(num_widths))] = _FACTORS[1]
    return _widen(sizing, factors)


def _widen(sizing: Sizing, factors: Sequence[float]) -> str:
    wider = sizing.widened(factors)
    if wider == sizing.widths:
        wider = tuple(sizing.fitted(width + sizing.step) for width in sizing.widths)
    return sizing.apply(Size(sizing.repeats, wider))


def compound(editor: SourceEditor, target: MutationTarget) -> str:
    """Increase depth and width together, each by the root of the factor for one alone."""
    sizing = Sizing(editor)
    if not sizing.repeats or not sizing.widths:
        return ""
    factor = math.sqrt(editor.generator.uniform(*_FACTORS))
    wider = sizing.widened([factor] * len(sizing.widths))
    return sizing.apply(Size(sizing.deepened(factor, "middle"), wider))


def shift_depth(editor: SourceEditor, target: MutationTarget) -> str:
    """Move a repeat to the middle stages."""
    sizing = Sizing(editor)
    weights = depth_weights(len(sizing.repeats), "middle")
    donors = [i for i, count in enumerate(sizing.repeats) if count > 1 and weights[i] < max(weights, default=0)]
    if not donors:
        return ""
    shifted = list(sizing.repeats)
    shifted[editor.choose(donors)] -= 1
    shifted[weights.index(max(weights))] += 1
    return sizing.apply(Size(tuple(shifted), sizing.widths))


def steepen_widths(editor: SourceEditor, target: MutationTarget) -> str:
    """Increase widths progressively: the narrowest stays, the widest grows most."""
    sizing = Sizing(editor)
    if len(sizing.widths) < 2:
        return ""
    factors = np.linspace(1.0, editor.generator.uniform(*_FACTORS), len(sizing.widths))
    return sizing.apply(Size(sizing.repeats, sizing.widened(list(factors))))


def listed(numbers: Sequence[int]) -> str:
    """Numbers for a note, separated by commas."""
    return ", ".join(map(str, numbers))


def shrinking_sizes(sizing: Sizing, way: str, generator: np.random.Generator) -> list[list[Size]]:
    """Decreasing sizes along one way of shrinking, in up to two legs: depth then width, or width then depth.

    Args:
        sizing: the network's literals.
        way: ``depth-middle`` and ``depth-end`` keep most repeats there, ``width-proportional`` and
            ``width-unevenly`` lower widths.
        generator: draws the factors of ``width-unevenly``.
    """
    size = sizing.size
    if way.startswith("depth"):
        first = _shallower(size, way.removeprefix("depth-"))
        second = _narrower((first or [size])[-1], sizing, [1.0] * len(size.widths))
    else:
        is_even = way == "width-proportional"
        exponents = [1.0] * len(size.widths) if is_even else list(generator.uniform(0.4, 1.6, len(size.widths)))
        first = _narrower(size, sizing, exponents)
        second = _shallower((first or [size])[-1], "middle")
    return [leg for leg in (first, second) if leg]


def _shallower(size: Size, place: str) -> list[Size]:
    """One repeat less at a time, until only one stage still repeats its block."""
    repeats = list(size.repeats)
    weights = depth_weights(len(repeats), place)
    sizes: list[Size] = []
    while removable := [i for i, n in enumerate(repeats) if n > 2 or (n == 2 and sum(m > 1 for m in repeats) > 1)]:
        repeats[max(removable, key=lambda i: (repeats[i] / weights[i], -weights[i]))] -= 1
        sizes.append(replace(size, repeats=tuple(repeats)))
    return sizes


def _narrower(size: Size, sizing: Sizing, exponents: Sequence[float]) -> list[Size]:
    """Distinct sizes for a factor that falls from 1 to 0; each width is scaled by a power of it."""
    sizes: list[Size] = []
    last = size.widths
    for factor in np.linspace(1.0, 0.0, 400)[1:]:
        scaled = zip(size.widths, exponents, strict=True)
        widths = tuple(min(width, sizing.fitted(width * factor**power)) for width, power in scaled)
        if widths != last:
            sizes.append(replace(size, widths=widths))
            last = widths
    return sizes
