"""Depth and width of a network, rewritten in the literals they go back to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import libcst as cst
import numpy as np

from agents.builtin import syntax
from agents.builtin.insertions import Transform
from agents.builtin.source_editor import Draft
from agents.builtin.torch_layers import Role
from fairnad.ideas.idea import MutationTarget

MIN_WIDTH = 4
"""No width is made smaller than this."""

_FACTORS = (1.2, 2.0)
"""By how much depth or width grows at a time, at least and at most."""


@dataclass(frozen=True)
class Size:
    """How large a network is: the number behind each literal of its repeats, and each of its distinct widths.

    Equal widths stay equal, so that whatever fitted still fits.
    """

    repeats: tuple[int, ...]
    widths: tuple[int, ...]


class Sizing:
    """The literals of a draft's network that make its size."""

    def __init__(self, draft: Draft) -> None:
        roles = draft.reading.roles
        self._draft = draft
        self._repeats = roles.literals(Role.REPEATS)
        self._widths = roles.literals(Role.WIDTH)
        distinct = sorted({value_of(node) for node in self._widths})
        self.size = Size(tuple(value_of(node) for node in self._repeats), tuple(distinct))
        self.step = _width_step(draft)

    def apply(self, size: Size) -> None:
        """Rewrite the draft to ``size``; once."""
        new_width = dict(zip(self.size.widths, size.widths, strict=True))
        edits: dict[cst.CSTNode, cst.CSTNode] = {
            node: cst.Integer(str(value)) for node, value in zip(self._repeats, size.repeats, strict=True)
        }
        edits |= {node: cst.Integer(str(new_width[value_of(node)])) for node in self._widths}
        self._draft.replace(edits)

    def fitted(self, width: float) -> int:
        """``width`` as a multiple of what groups and heads need."""
        return max(MIN_WIDTH, self.step * max(1, round(width / self.step)))


def value_of(node: cst.Integer) -> int:
    """The number a literal stands for."""
    value = syntax.integer(node)
    assert value is not None
    return value


def _width_step(draft: Draft) -> int:
    """A number every width is a multiple of: 4, or more where groups or heads are fixed."""
    step = 4
    for name in draft.reading.roles.classes:
        for node in draft.reading.roles.literals(Role.GROUPS, name):
            if value_of(node) <= 16:
                step = math.lcm(step, value_of(node))
    return min(step, 48)


def depth_weights(num_stages: int, place: str) -> list[int]:
    """How deep each stage should be relative to the others: most in the ``middle`` or at the ``end``."""
    if place == "end":
        return [2 + i for i in range(num_stages)]
    return [2 + min(i, num_stages - 1 - i) for i in range(num_stages)]


def deepen(place: str) -> Transform:
    """More repeats, most of them in the ``middle`` or at the ``end`` of the network."""

    def grow(draft: Draft, target: MutationTarget) -> str:
        sizing = Sizing(draft)
        repeats = sizing.size.repeats
        if not repeats:
            return ""
        total = max(sum(repeats) + 1, round(sum(repeats) * draft.generator.uniform(*_FACTORS)))
        deeper = deepened(repeats, total, depth_weights(len(repeats), place))
        sizing.apply(replace(sizing.size, repeats=deeper))
        return f"repeats {listed(repeats)} → {listed(deeper)}"

    return grow


def deepened(repeats: Sequence[int], total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """``repeats`` with single ones added up to ``total``, each where its weight asks most for it."""
    deeper = list(repeats)
    while sum(deeper) < total:
        neediest = min(range(len(deeper)), key=lambda i: (deeper[i] / weights[i], -weights[i]))
        deeper[neediest] += 1
    return tuple(deeper)


def widen(draft: Draft, target: MutationTarget) -> str:
    """Every width larger, by one factor."""
    factor = draft.generator.uniform(*_FACTORS)
    return _widen(draft, lambda num_widths: [factor] * num_widths)


def widen_unevenly(draft: Draft, target: MutationTarget) -> str:
    """Every distinct width larger by a factor of its own."""

    def factors(num_widths: int) -> list[float]:
        drawn = list(draft.generator.uniform(1.0, _FACTORS[1], num_widths))
        drawn[int(draft.generator.integers(num_widths))] = _FACTORS[1]
        return drawn

    return _widen(draft, factors)


def _widen(draft: Draft, factors: Callable[[int], Sequence[float]]) -> str:
    sizing = Sizing(draft)
    widths = sizing.size.widths
    if not widths:
        return ""
    scaled = zip(widths, factors(len(widths)), strict=True)
    wider = tuple(max(width, sizing.fitted(width * factor)) for width, factor in scaled)
    if wider == widths:
        wider = tuple(sizing.fitted(width + sizing.step) for width in widths)
    sizing.apply(replace(sizing.size, widths=wider))
    return f"widths {listed(widths)} → {listed(wider)}"


def compound(draft: Draft, target: MutationTarget) -> str:
    """Depth and width larger together, each by the root of what one of them would grow by alone."""
    sizing = Sizing(draft)
    repeats, widths = sizing.size.repeats, sizing.size.widths
    if not repeats or not widths:
        return ""
    factor = math.sqrt(draft.generator.uniform(*_FACTORS))
    total = max(sum(repeats) + 1, round(sum(repeats) * factor))
    deeper = deepened(repeats, total, depth_weights(len(repeats), "middle"))
    wider = tuple(max(width, sizing.fitted(width * factor)) for width in widths)
    sizing.apply(Size(deeper, wider))
    return f"repeats {listed(repeats)} → {listed(deeper)}, widths {listed(widths)} → {listed(wider)}"


def shift_depth(draft: Draft, target: MutationTarget) -> str:
    """As many repeats in total, more of them in the middle stages."""
    sizing = Sizing(draft)
    repeats = sizing.size.repeats
    weights = depth_weights(len(repeats), "middle")
    donors = [i for i, count in enumerate(repeats) if count > 1 and weights[i] < max(weights, default=0)]
    if not donors:
        return ""
    shifted = list(repeats)
    shifted[draft.choose(donors)] -= 1
    shifted[max(range(len(weights)), key=lambda i: weights[i])] += 1
    sizing.apply(replace(sizing.size, repeats=tuple(shifted)))
    return f"repeats {listed(repeats)} → {listed(shifted)}"


def steepen_widths(draft: Draft, target: MutationTarget) -> str:
    """Widths that grow faster from stage to stage: the narrowest stays, the widest grows most."""
    sizing = Sizing(draft)
    widths = sizing.size.widths
    if len(widths) < 2:
        return ""
    factors = np.linspace(1.0, draft.generator.uniform(*_FACTORS), len(widths))
    steeper = tuple(max(w, sizing.fitted(w * f)) for w, f in zip(widths, factors, strict=True))
    if steeper == widths:
        return ""
    sizing.apply(replace(sizing.size, widths=steeper))
    return f"widths {listed(widths)} → {listed(steeper)}"


def listed(numbers: Sequence[int]) -> str:
    """Numbers for a note, a comma between."""
    return ", ".join(map(str, numbers))


def shrinking_sizes(sizing: Sizing, way: str, generator: np.random.Generator) -> list[list[Size]]:
    """Smaller and smaller sizes along one way of shrinking, the present one left out, in two legs.

    Args:
        sizing: the network's literals.
        way: ``depth-middle`` and ``depth-end`` keep most repeats there, ``width-proportional`` and
            ``width-unevenly`` lower widths.
        generator: draws the factors of ``width-unevenly``.

    Returns:
        The sizes along the way, and those that follow when depth goes on with width, or width with depth. Legs
        without a size are left out.
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
    """One repeat less at a time, down to one everywhere but two in one stage, so that blocks still follow blocks."""
    repeats = list(size.repeats)
    weights = depth_weights(len(repeats), place)
    sizes: list[Size] = []
    while removable := [i for i, count in enumerate(repeats) if count > 2 or (count == 2 and _is_spare(repeats))]:
        repeats[max(removable, key=lambda i: (repeats[i] / weights[i], -weights[i]))] -= 1
        sizes.append(replace(size, repeats=tuple(repeats)))
    return sizes


def _is_spare(repeats: Sequence[int]) -> bool:
    """Whether more than one stage repeats its block."""
    return sum(count > 1 for count in repeats) > 1


def _narrower(size: Size, sizing: Sizing, exponents: Sequence[float]) -> list[Size]:
    """Distinct sizes for a factor that falls from 1 towards 0; each width falls as a power of it."""
    sizes: list[Size] = []
    last = size.widths
    for factor in np.linspace(1.0, 0.0, 400)[1:]:
        scaled = zip(size.widths, exponents, strict=True)
        widths = tuple(min(width, sizing.fitted(width * factor**power)) for width, power in scaled)
        if widths != last:
            sizes.append(replace(size, widths=widths))
            last = widths
    return sizes
