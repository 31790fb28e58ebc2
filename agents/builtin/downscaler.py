"""The downscaler without a language model: literals shrunk by bisection, an added module used once (F.2.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from agents.builtin.scaling import Size, Sizing, listed, shrinking_sizes
from agents.builtin.single_use import use_once
from agents.builtin.source_editor import Draft, UnreadableSourceError
from fairnad.domain.budget import Budget, within
from fairnad.ports import Check, DownscaleRequest, Proposal
from fairnad.records.candidate import CheckReport, Failure, FailureKind, Step

_OTHER_WAY = {
    "shrink-depth-middle": "shrink-width-proportional",
    "shrink-depth-end": "shrink-width-proportional",
    "shrink-width-proportional": "shrink-depth-middle",
    "shrink-width-unevenly": "shrink-depth-end",
}
"""Every way of shrinking, with the one to try where it leads nowhere."""


class BuiltinDownscaler:
    """Finds the largest network under its budgets along one way of shrinking.

    Args:
        check: measures a source; it is asked some five to nine times for one request.
        budgets: the limits.
        actions: for a shrinking idea, by its text, the way it asks for.
    """

    def __init__(self, check: Check, budgets: Sequence[Budget], actions: Mapping[str, str]) -> None:
        self._check = check
        self._budgets = budgets
        self._actions = actions

    async def downscale(self, request: DownscaleRequest) -> Proposal | Failure:
        """A source under every limit where there is one along the way, else the smallest there is.

        Where a single use is asked for, the added module goes to the end of the parent's backbone; where the
        source adds none that could, it is shrunk instead. Depth that cannot shrink any further is followed by
        width, and width by depth; where that fails too, the other one goes first. Fails as *not applicable* only
        where the network has no literals to shrink.
        """
        generator = request.errand.generator
        source = request.oversized.source
        if request.single_use and (once := use_once(source, request.parent.source, generator)) is not None:
            return Proposal(once.source, prompt=request.prompt, note=once.note)
        try:
            sizing = Sizing(Draft(source, generator))
        except UnreadableSourceError as error:
            return Failure(Step.DOWNSCALE, FailureKind.NOT_APPLICABLE, f"the source cannot be read: {error}")
        way = self._actions.get(request.shrinking, "")
        way = way if way in _OTHER_WAY else list(_OTHER_WAY)[int(generator.integers(len(_OTHER_WAY)))]
        legs = [
            (tried, sizes)
            for tried in (way, _OTHER_WAY[way])
            for sizes in shrinking_sizes(sizing, tried.removeprefix("shrink-"), generator)
        ]
        if not legs:
            message = "the network has no repeats or widths that could be smaller"
            return Failure(Step.DOWNSCALE, FailureKind.NOT_APPLICABLE, message)
        found, size = await self._along(legs, source, generator)
        note = f"{found}: {_described(sizing.size, size)}"
        return Proposal(_resized(source, size, generator), prompt=request.prompt, note=note)

    async def _along(
        self, legs: Sequence[tuple[str, Sequence[Size]]], source: str, generator: np.random.Generator
    ) -> tuple[str, Size]:
        """The first leg whose end is within all limits, with its largest such size; else the first way's end."""
        for way, sizes in legs:
            if await self._fits(_resized(source, sizes[-1], generator)):
                return way, await self._largest_within(source, sizes, generator)
        first = legs[0][0]
        return first, [sizes[-1] for way, sizes in legs if way == first][-1]

    async def _largest_within(self, source: str, sizes: Sequence[Size], generator: np.random.Generator) -> Size:
        """The first of falling sizes within all limits, by bisection; the last one is."""
        first, last = 0, len(sizes) - 1
        while first < last:
            middle = (first + last) // 2
            if await self._fits(_resized(source, sizes[middle], generator)):
                last = middle
            else:
                first = middle + 1
        return sizes[first]

    async def _fits(self, source: str) -> bool:
        """Whether a source runs and is within all limits."""
        report = await self._check(source)
        return isinstance(report, CheckReport) and within(report.costs, self._budgets)


def _resized(source: str, size: Size, generator: np.random.Generator) -> str:
    draft = Draft(source, generator)
    Sizing(draft).apply(size)
    return draft.source


def _described(old: Size, new: Size) -> str:
    parts = (("repeats", old.repeats, new.repeats), ("widths", old.widths, new.widths))
    changes = [f"{name} {listed(before)} → {listed(after)}" for name, before, after in parts if before != after]
    return ", ".join(changes)
