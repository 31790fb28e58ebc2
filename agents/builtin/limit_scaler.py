"""Widens a network to just below its limits, so that a search starts where a person would have scaled to by hand."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst
import numpy as np

from agents.builtin.scaling import listed, value_of
from agents.builtin.source_editor import Draft, UnreadableSourceError
from agents.builtin.torch_layers import Role
from fairnad.domain.budget import Budget, load
from fairnad.ports import Check
from fairnad.records.candidate import CheckReport

LEAST_SHARE, MOST_SHARE = 0.8, 0.95
"""Where a scaled network ends: its highest cost as a share of its limit. What is left is room for mutations."""

_STEPS = (2, 1, 4, 8)
"""Widths are multiples of the first of these that builds. Groups and shuffled halves need even ones."""

_NEAR_ENOUGH = 0.9
_MAX_PROBES = 12
"""Networks checked at most for the common factor, and again for single widths."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """A widened source, the costs it was checked with, and a line that says which widths changed."""

    source: str
    report: CheckReport
    note: str


async def widen_to_limits(source: str, check: Check, budgets: Sequence[Budget]) -> Scaled | None:
    """The source with all widths raised by one factor, then single ones, until a cost is just below its limit.

    Widths that are equal only by chance grow apart: a stage's input belongs to the output of the stage before, and
    every cut between the two numbers of one stage is tried. A size that does not build is skipped, and is never read
    as too large.

    Args:
        check: builds and measures a source.
        budgets: the limits; the tightest decides.

    Returns:
        ``None`` if the source cannot be read, does not run, has no width in its literals, has a cost above
        :data:`LEAST_SHARE` already, or if no wider network that fits was found.
    """
    try:
        widths = _Widths(source)
    except UnreadableSourceError:
        return None
    report = await check(source)
    if not widths.values or not isinstance(report, CheckReport) or _share(report, budgets) >= LEAST_SHARE:
        return None
    search = _Search(widths, await _independent(widths, check), check, budgets)
    return await search.largest(report)


class _Widths:
    """The width literals of a network in source order."""

    def __init__(self, source: str) -> None:
        self._source = source
        self.values = tuple(value_of(node) for node in _literals(Draft(source, _UNUSED)))

    def rewritten(self, values: Sequence[int]) -> str:
        draft = Draft(self._source, _UNUSED)
        literals = _literals(draft)
        draft.replace({node: cst.Integer(str(value)) for node, value in zip(literals, values, strict=True)})
        return draft.source


_UNUSED = np.random.default_rng(0)
"""Scaling draws nothing; a draft asks for a generator all the same."""


def _literals(draft: Draft) -> list[cst.Integer]:
    return draft.reading.roles.literals(Role.WIDTH)


async def _independent(widths: _Widths, check: Check) -> tuple[tuple[int, ...], ...]:
    """Positions of the literals that must stay equal, group by group, in source order.

    Equal literals are one group, cut wherever the network still builds with all those behind the cut doubled.
    """
    cuts: list[tuple[int, int]] = []
    for value in sorted(set(widths.values)):
        positions = [i for i, other in enumerate(widths.values) if other == value]
        cuts += [(value, position) for position in positions[1:]]

    def doubled(value: int, first: int) -> str:
        changed = [2 * v if v == value and i >= first else v for i, v in enumerate(widths.values)]
        return widths.rewritten(changed)

    reports = await asyncio.gather(*(check(doubled(*cut)) for cut in cuts))
    starts = {cut for cut, report in zip(cuts, reports, strict=True) if isinstance(report, CheckReport)}
    groups: list[list[int]] = []
    current: dict[int, list[int]] = {}
    for position, value in enumerate(widths.values):
        if value not in current or (value, position) in starts:
            current[value] = []
            groups.append(current[value])
        current[value].append(position)
    return tuple(map(tuple, groups))


class _Search:
    """Looks for the widest network within the limits."""

    def __init__(
        self, widths: _Widths, groups: Sequence[Sequence[int]], check: Check, budgets: Sequence[Budget]
    ) -> None:
        self._widths = widths
        self._groups = groups
        self._check = check
        self._budgets = budgets
        self._sizes = tuple(widths.values[group[0]] for group in groups)

    async def largest(self, report: CheckReport) -> Scaled | None:
        for step in _STEPS:
            found = await self._by_factor(report, step)
            if found is not None:
                sizes, scaled = await self._one_by_one(*found, step)
                note = f"widths {listed(self._sizes)} → {listed(sizes)}"
                return Scaled(self._source(sizes), scaled, note)
        return None

    async def _by_factor(self, report: CheckReport, step: int) -> tuple[tuple[int, ...], CheckReport] | None:
        """The widest sizes of one common factor that build and fit."""
        best: tuple[tuple[int, ...], CheckReport] | None = None
        low, low_share = 1.0, _share(report, self._budgets)
        high, high_share = math.inf, math.inf
        tried = {self._sizes}
        for _ in range(_MAX_PROBES):
            factor = _next_factor(low, low_share, high, high_share)
            sizes = tuple(max(size, step * round(size * factor / step)) for size in self._sizes)
            if sizes in tried:
                break
            tried.add(sizes)
            probed = await self._probe(sizes)
            if probed is None:
                return best
            share = _share(probed, self._budgets)
            if share > MOST_SHARE:
                high, high_share = factor, share
            else:
                low, low_share = factor, share
                best = sizes, probed
                if share >= _NEAR_ENOUGH:
                    break
        return best

    async def _one_by_one(
        self, sizes: tuple[int, ...], report: CheckReport, step: int
    ) -> tuple[tuple[int, ...], CheckReport]:
        """Single widths larger, those at the end of the network first, as long as they fit."""
        num_left, grown = _MAX_PROBES, True
        while grown:
            grown = False
            for place in reversed(range(len(sizes))):
                if not num_left or _share(report, self._budgets) >= _NEAR_ENOUGH:
                    return sizes, report
                larger = (*sizes[:place], sizes[place] + step, *sizes[place + 1 :])
                num_left -= 1
                probed = await self._probe(larger)
                if probed is not None and _share(probed, self._budgets) <= MOST_SHARE:
                    sizes, report, grown = larger, probed, True
        return sizes, report

    async def _probe(self, sizes: Sequence[int]) -> CheckReport | None:
        probed = await self._check(self._source(sizes))
        return probed if isinstance(probed, CheckReport) else None

    def _source(self, sizes: Sequence[int]) -> str:
        values = list(self._widths.values)
        for group, size in zip(self._groups, sizes, strict=True):
            for position in group:
                values[position] = size
        return self._widths.rewritten(values)


def _next_factor(low: float, low_share: float, high: float, high_share: float) -> float:
    """The factor at which the share should be in the middle of what is near enough, costs taken as powers of it."""
    target = (_NEAR_ENOUGH + MOST_SHARE) / 2
    exponent = 2.0 if math.isinf(high) else math.log(high_share / low_share) / math.log(high / low)
    factor: float = low * (target / low_share) ** (1 / max(exponent, 0.5))
    return factor if math.isinf(high) else min(max(factor, low + 0.1 * (high - low)), high - 0.1 * (high - low))


def _share(report: CheckReport, budgets: Sequence[Budget]) -> float:
    """The highest cost as a share of its limit."""
    return max(load(report.costs, budgets).values())
