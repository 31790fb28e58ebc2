"""The base model of a search: as given, or widened to just below the limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from fairnad.domain.budget import Budget, load
from fairnad.formatting import share_text
from fairnad.ports import Check, Proposal
from fairnad.records.candidate import BASE_ID, CheckReport, Step
from graphs.runtime.steps import PROPOSAL, Steps

if TYPE_CHECKING:
    from fairnad.domain.task import TaskDefaults
    from fairnad.settings.search_settings import RunContext

SCALE = "scale"
"""The step that chooses the base; its stored result keeps the base of a resumed run."""


@dataclass(frozen=True, slots=True)
class Base:
    """The base model of a search.

    ``note`` lists the widths that were raised before the search, empty for a base as given. ``shares`` are its costs as
    shares of the limits, empty if it does not run.
    """

    source: str
    note: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_scaled(self) -> bool:
        """Whether the search widened it; it is then the control in the finals."""
        return bool(self.note)


_BASE: TypeAdapter[Base] = TypeAdapter(Base)


def wants_scaling(context: RunContext, defaults: TaskDefaults) -> bool:
    """Whether the base is widened before the search.

    With ``search.scale_base="auto"``, the paper's tasks and paper mode keep the paper's base, and ``--base`` keeps the
    named base.
    """
    wanted = context.search.scale_base
    if wanted != "auto":
        return wanted == "always"
    return defaults.scale_base and not context.base and not context.paper_mode


async def make_base(source: str, check: Check, budgets: Sequence[Budget], *, scales: bool) -> Base:
    """The base for a search, widened to the limits if ``scales`` is set and there is room."""
    from agents.builtin.limit_scaler import widen_to_limits

    scaled = await widen_to_limits(source, check, budgets) if scales else None
    if scaled is not None:
        return Base(scaled.source, scaled.note, load(scaled.report.costs, budgets))
    report = await check(source)
    return Base(source, "", load(report.costs, budgets) if isinstance(report, CheckReport) else {})


async def settle_base(source: str, check: Check, budgets: Sequence[Budget], steps: Steps, *, scales: bool) -> Base:
    """The base of a run, made once. A run from before bases were widened keeps its base."""

    async def make() -> Base:
        proposed = await steps.find(BASE_ID, Step.MUTATE, 0, PROPOSAL)
        if isinstance(proposed, Proposal):
            return replace(await make_base(proposed.source, check, budgets, scales=False), note=proposed.note)
        return await make_base(source, check, budgets, scales=scales)

    return await steps.once(BASE_ID, SCALE, 0, _BASE, make)


def base_text(context: RunContext, base: Base) -> str:
    """One line about the base; empty for a base as given that uses its limits well."""
    from agents.builtin.limit_scaler import LEAST_SHARE

    if not base.shares:
        return ""
    name, share = max(base.shares.items(), key=lambda item: item[1])
    if base.is_scaled:
        shares = ", ".join(f"{share_text(part)} of {limit}" for limit, part in base.shares.items())
        return f"Base: widened to the limits before the search, {base.note}; it uses {shares}. It is the control."
    if context.base and share < LEAST_SHARE:
        return (
            f"WARNING: the base {context.base} uses only {share_text(share)} of its tightest limit, {name}; a search "
            "from it is unlikely to beat a full-size network. --search.scale-base always widens it first."
        )
    return ""
