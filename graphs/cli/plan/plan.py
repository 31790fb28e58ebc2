"""The plan of a search, made without starting or writing anything."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairnad.domain.budget import Budget, Costs, load, within
from fairnad.formatting import quantity_text, share_text
from fairnad.records.candidate import Stage
from fairnad.records.history import History
from fairnad.search.promotion import Ending, ending
from fairnad.settings.search_settings import RunContext
from graphs.cli.plan.call_estimate import CallEstimate, estimate_calls
from graphs.cli.plan.schedule import Leg, by_stage, remaining, stage_starts
from graphs.runtime.base_scaling import Base
from graphs.runtime.idea_base import load_ideas
from graphs.runtime.inputs import Inputs, check_pack, check_recipe, read_inputs
from graphs.runtime.replay import check_replay
from graphs.runtime.spend_limit import check_prices
from graphs.runtime.stored_runs import open_run
from store.history_store import FILE_NAME
from store.run_folder import refuse_changes, run_path
from tools.lab import num_slots

if TYPE_CHECKING:
    from prompts.loader import Pack

_NAMES = {Stage.FAIR: "stage I", Stage.PARETO: "stage II", Stage.REFINE: "stage III"}
_FAR_OVER = 4
"""Downscaling rarely brings a base under a limit that it exceeds by this factor."""


@dataclass(frozen=True)
class Plan:
    """The plan of a search."""

    context: RunContext
    inputs: Inputs
    base: Base
    base_costs: Costs
    budgets: Sequence[Budget]
    num_ideas: int
    num_already: int
    has_base: bool
    num_slots: int
    legs: Sequence[Leg]
    calls: Sequence[CallEstimate]

    @property
    def shares(self) -> dict[str, float]:
        """The costs of the base as shares of the limits."""
        return load(self.base_costs, self.budgets)

    @property
    def base_is_over(self) -> bool:
        """Whether the base is over budget and must be downscaled first."""
        return any(share > 1 for share in self.shares.values())

    @property
    def warnings(self) -> list[str]:
        """Settings with unexpected effects, a line each."""
        starts, archs = stage_starts(self.context.search), self.context.archs
        missed = [
            f"{_NAMES[stage]} after {start}" for stage, start in starts.items() if stage in _NAMES and start >= archs
        ]
        lines = []
        if missed:
            lines.append(
                f"--archs {archs} ends before these stages begin (after trained candidates): {', '.join(missed)}; "
                f"--archs {max(starts.values()) + 1} reaches all of them"
            )
        for budget in self.budgets:
            cost = self.base_costs[budget.name]
            if not self.has_base and cost > _FAR_OVER * budget.limit:
                share = share_text(budget.limit / cost, 1)
                lines.append(
                    f"the limit of {quantity_text(budget.limit)} {budget.name} is {share} of the base's cost "
                    f"({quantity_text(cost)}): downscaling rarely reaches it, and the search ends if it fails; "
                    "raise the limit, or choose a smaller --base"
                )
        return lines

    @property
    def num_to_train(self) -> int:
        """Candidates left to train."""
        return sum(leg.num_trained for leg in self.legs)

    @property
    def ending(self) -> Ending:
        """The trainings at the end of the search."""
        return ending(self.context.search, self.context.archs, self.inputs.recipes)

    @property
    def num_trainings(self) -> int:
        """All trainings that are left, including the base."""
        return self.num_to_train + self.ending.num_trainings + (not self.has_base)

    @property
    def most_draws(self) -> int:
        """The number of draws if every slot needs all of its draws."""
        return self.num_to_train * self.context.search.max_draws


def make_plan(context: RunContext) -> Plan:
    """Make the plan of a search; the base is built and measured in the sandbox.

    Raises:
        UserError: the search cannot start with these settings.
        LabError: the sandbox does not start.
    """
    check_prices(context)
    check_replay(context)
    inputs = read_inputs(context)
    ideas = load_ideas(context, inputs.pack)
    history = _history_so_far(context, inputs.pack)
    check_recipe(history, inputs.recipe, run_path(context))
    base, costs, budgets = asyncio.run(inputs.measure_base(context.lab, history.base))
    planned = remaining(context.search, context.archs, len(history.trained))
    has_base = history.base is not None
    base_is_over = not has_base and not within(costs, budgets)
    calls = estimate_calls(context, inputs.pack, base.source, ideas, by_stage(planned), base_is_over=base_is_over)
    slots = num_slots(context.lab)
    return Plan(
        context, inputs, base, costs, budgets, len(ideas), len(history.trained), has_base, slots, planned, calls
    )


def _history_so_far(context: RunContext, pack: Pack) -> History:
    path = run_path(context)
    if not (path / FILE_NAME).exists():
        return History()
    refuse_changes(path, context)
    with open_run(path) as run:
        if run.history.records:
            check_pack(run.store, pack, path)
        return run.history
