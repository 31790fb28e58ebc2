"""The downscaler without a language model: literals shrunk by bisection, an added module used once (F.2.5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import numpy as np

from agents.builtin.draft import Draft, UnreadableSourceError
from agents.builtin.scaling import Size, Sizing, shrinking_sizes
from agents.builtin.single_use import use_once
from fairnad.budget import Budget, within
from fairnad.candidate import CheckReport, Failure, FailureKind, Step
from fairnad.ports import DownscaleRequest, Proposal

Check = Callable[[str], Awaitable[CheckReport | Failure]]
"""Runs a source and reports its costs."""

_WAYS = ("shrink-depth-middle", "shrink-depth-end", "shrink-width-proportional", "shrink-width-unevenly")


class BuiltinDownscaler:
    """Finds the largest network under its budgets along one way of shrinking.

    Args:
        check: measures a source; it is asked some five to eight times for one request.
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
        width, and width by depth. Fails as *not applicable* only where the network has no literals to shrink.
        """
        generator = request.errand.generator
        source = request.oversized.source
        if request.single_use and (once := use_once(source, request.parent.source, generator)) is not None:
            return Proposal(once.source, prompt=request.prompt, note=once.note)
        way = self._actions.get(request.shrinking, "")
        way = way if way in _WAYS else _WAYS[int(generator.integers(len(_WAYS)))]
        try:
            sizing = Sizing(Draft(source, generator))
        except UnreadableSourceError as error:
            return Failure(Step.DOWNSCALE, FailureKind.NOT_APPLICABLE, f"the source cannot be read: {error}")
        sizes = shrinking_sizes(sizing, way.removeprefix("shrink-"), generator)
        if not sizes:
            message = "the network has no repeats or widths that could be smaller"
            return Failure(Step.DOWNSCALE, FailureKind.NOT_APPLICABLE, message)
        found = await self._largest_within(source, sizes, generator)
        size = sizing.size
        note = f"{way}: repeats {_change(size.repeats, found.repeats)}, widths {_change(size.widths, found.widths)}"
        return Proposal(_resized(source, found, generator), prompt=request.prompt, note=note)

    async def _largest_within(self, source: str, sizes: Sequence[Size], generator: np.random.Generator) -> Size:
        """Bisection over sizes that fall; a size that does not run counts as one over its limits."""
        first, last = 0, len(sizes) - 1
        while first < last:
            middle = (first + last) // 2
            report = await self._check(_resized(source, sizes[middle], generator))
            if isinstance(report, CheckReport) and within(report.costs, self._budgets):
                last = middle
            else:
                first = middle + 1
        return sizes[first]


def _resized(source: str, size: Size, generator: np.random.Generator) -> str:
    draft = Draft(source, generator)
    Sizing(draft).apply(size)
    return draft.source


def _change(old: Sequence[int], new: Sequence[int]) -> str:
    joined = ", ".join(map(str, new))
    return f"{', '.join(map(str, old))} → {joined}" if tuple(old) != tuple(new) else f"{joined} as before"
