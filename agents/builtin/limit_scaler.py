"""Widens a network to just below its limits, so that a search starts from a network of useful size."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst

from agents.builtin.scaling import listed, value_of
from agents.builtin.source_editor import SourceEditor, UnreadableSourceError
from agents.builtin.torch_layers import SizeUse
from fairnad.domain.budget import Budget, load
from fairnad.ports import Check
from fairnad.records.candidate import CheckReport

LEAST_SHARE, MOST_SHARE = 0.8, 0.95
"""The range of the highest cost of a scaled network, as a share of its limit; the rest is room for mutations."""

_STEPS = (2, 1, 4, 8)
"""Widths are multiples of the first of these that builds; groups and channel splits need even ones."""

_NEAR_ENOUGH = 0.9
_MAX_PROBES = 12
"""The largest number of checks for the common factor, and again for single widths."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """A widened source, its report, and a note that says which widths changed."""

    source: str
    report: CheckReport
    note: str


async def widen_to_limits(source: str, check: Check, budgets: Sequence[Budget]) -> Scaled | None:
    """The source with all widths increased by one factor, then single ones, until a cost is just below its limit.

    Equal widths that are independent grow separately. A size that does not build is skipped.

    Args:
        check: builds and measures a source.
        budgets: the limits; the tightest decides.

    Returns:
        ``None`` if the source cannot be read, does not run, has no width in its literals, has a cost above
        :data:`LEAST_SHARE` already, or if no wider network fits.
    """
    try:
        values = tuple(value_of(node) for node in _literals(SourceEditor(source)))
    except UnreadableSourceError:
        return None
    report = await check(source)
    if not values or not isinstance(report, CheckReport) or _share(report, budgets) >= LEAST_SHARE:
        return None
    search = _Search(source, values, await _independent(source, values, check), check, budgets)
    start = tuple(values[group[0]] for group in search.groups)
    for step in _STEPS:
        found = await search.by_factor(start, report, step)
        if found is not None:
            sizes, scaled = await search.one_by_one(*found, step)
            return Scaled(search.resize(sizes), scaled, f"widths {listed(start)} → {listed(sizes)}")
    return None


def _literals(editor: SourceEditor) -> list[cst.Integer]:
    """The width literals of a network, in source order."""
    return editor.reading.sizes.literals(SizeUse.WIDTH)


def _rewrite(source: str, values: Sequence[int]) -> str:
    editor = SourceEditor(source)
    pairs = zip(_literals(editor), values, strict=True)
    editor.replace({node: cst.Integer(str(value)) for node, value in pairs})
    return editor.source


async def _independent(source: str, values: Sequence[int], check: Check) -> list[list[int]]:
    """Positions of the literals that must stay equal, group by group, in source order.

    Equal literals are one group, split wherever the network still builds with all literals after the split doubled.
    """
    cuts = [(value, i) for i, value in enumerate(values) if value in values[:i]]

    def doubled(value: int, first: int) -> str:
        return _rewrite(source, [2 * v if v == value and i >= first else v for i, v in enumerate(values)])

    reports = await asyncio.gather(*(check(doubled(*cut)) for cut in cuts))
    starts = {cut for cut, report in zip(cuts, reports, strict=True) if isinstance(report, CheckReport)}
    groups: list[list[int]] = []
    current: dict[int, list[int]] = {}
    for position, value in enumerate(values):
        if value not in current or (value, position) in starts:
            current[value] = []
            groups.append(current[value])
        current[value].append(position)
    return groups


@dataclass(frozen=True)
class _Search:
    """Searches the widest network within the limits; a size is the width of each group of literals."""

    source: str
    values: tuple[int, ...]
    groups: list[list[int]]
    check: Check
    budgets: Sequence[Budget]

    async def by_factor(
        self, start: tuple[int, ...], report: CheckReport, step: int
    ) -> tuple[tuple[int, ...], CheckReport] | None:
        """The widest sizes by one common factor that build and fit."""
        best: tuple[tuple[int, ...], CheckReport] | None = None
        low, low_share = 1.0, _share(report, self.budgets)
        high, high_share = math.inf, math.inf
        tried = {start}
        for _ in range(_MAX_PROBES):
            factor = _next_factor(low, low_share, high, high_share)
            sizes = tuple(max(size, step * round(size * factor / step)) for size in start)
            probed = None if sizes in tried else await self.check(self.resize(sizes))
            if not isinstance(probed, CheckReport):
                break
            tried.add(sizes)
            share = _share(probed, self.budgets)
            if share > MOST_SHARE:
                high, high_share = factor, share
                continue
            low, low_share = factor, share
            best = sizes, probed
            if share >= _NEAR_ENOUGH:
                break
        return best

    async def one_by_one(
        self, sizes: tuple[int, ...], report: CheckReport, step: int
    ) -> tuple[tuple[int, ...], CheckReport]:
        """Single widths increased while they fit, from the end of the network."""
        num_left, grown = _MAX_PROBES, True
        while grown:
            grown = False
            for place in reversed(range(len(sizes))):
                if not num_left or _share(report, self.budgets) >= _NEAR_ENOUGH:
                    return sizes, report
                larger = (*sizes[:place], sizes[place] + step, *sizes[place + 1 :])
                num_left -= 1
                probed = await self.check(self.resize(larger))
                if isinstance(probed, CheckReport) and _share(probed, self.budgets) <= MOST_SHARE:
                    sizes, report, grown = larger, probed, True
        return sizes, report

    def resize(self, sizes: Sequence[int]) -> str:
        """The source with other sizes."""
        new = {position: size for group, size in zip(self.groups, sizes, strict=True) for position in group}
        return _rewrite(self.source, [new[position] for position in range(len(self.values))])


def _next_factor(low: float, low_share: float, high: float, high_share: float) -> float:
    """The factor at which the share should reach the target, if costs are a power of the factor."""
    target = (_NEAR_ENOUGH + MOST_SHARE) / 2
    exponent = 2.0 if math.isinf(high) else math.log(high_share / low_share) / math.log(high / low)
    factor: float = low * (target / low_share) ** (1 / max(exponent, 0.5))
    return factor if math.isinf(high) else min(max(factor, low + 0.1 * (high - low)), high - 0.1 * (high - low))


def _share(report: CheckReport, budgets: Sequence[Budget]) -> float:
    """The highest cost as a share of its limit."""
    return max(load(report.costs, budgets).values())
