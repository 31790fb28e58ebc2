"""The limits of a run: those the user states, else the task's, else a multiple of what the base costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from fairnad.domain.budget import Budget, Costs
from fairnad.domain.task import DERIVED_LIMIT, TaskDefaults
from fairnad.errors import BaseModelError
from fairnad.ports import Lab
from fairnad.records.candidate import BASE_ID, Failure
from fairnad.settings.search_settings import RunContext
from graphs.runtime.steps import Steps

if TYPE_CHECKING:
    from store.history_store import SqliteHistory

_BUDGETS: TypeAdapter[tuple[Budget, ...]] = TypeAdapter(tuple[Budget, ...])
LIMITS = "limits"
"""The step that settles them."""
UNITS = {"params": "parameters", "flops": "multiply-adds an image"}
"""The unit of every budget there always is, by its name."""


def resolve_budgets(context: RunContext, defaults: TaskDefaults, image_size: int) -> tuple[Budget, ...]:
    """The limits that are stated by the settings or the task; what nobody states, the base's costs decide.

    The task's limit on FLOPs is for its own image size and grows with the image's area. Latency and the memory of
    intermediate results are limited only where the settings say so.

    Raises:
        SettingsError: the latency on a GPU is limited, and there is none.
    """
    area = (image_size / defaults.image_size) ** 2 if defaults.image_size else 1.0
    limits = {
        "params": context.max_params or defaults.max_params,
        "flops": context.max_flops or defaults.max_flops * area,
    }
    stated = [Budget(name, UNITS[name], limit) for name, limit in limits.items() if limit]
    if context.max_latency_ms is not None:
        from tools.slots import measuring_device

        unit = f"median milliseconds an image on {measuring_device(context.lab)}"
        stated.append(Budget("latency_ms", unit, context.max_latency_ms))
    if context.max_activation_memory is not None:
        unit = "bytes of intermediate results of an image"
        stated.append(Budget("activation_bytes", unit, context.max_activation_memory))
    return tuple(stated)


def derive_budgets(stated: Sequence[Budget], costs: Costs) -> tuple[Budget, ...]:
    """The stated limits, and four times the base's costs for those of :data:`UNITS` that are not stated."""
    by_name = {budget.name: budget for budget in stated}
    always = {name: by_name.get(name) or Budget(name, UNITS[name], DERIVED_LIMIT * costs[name]) for name in UNITS}
    return tuple((always | by_name).values())


async def settle_budgets(stated: Sequence[Budget], base_source: str, lab: Lab, steps: Steps) -> tuple[Budget, ...]:
    """The limits of a run, found once: a resumed run keeps those it was begun with.

    Raises:
        BaseModelError: a limit is to be derived from the base, which does not run.
        LabError: the sandbox broke.
    """

    async def find() -> tuple[Budget, ...]:
        if UNITS.keys() <= {budget.name for budget in stated}:
            return tuple(stated)
        report = await lab.check(base_source)
        if isinstance(report, Failure):
            raise BaseModelError(f"the base model cannot be used: {report.step}: {report.message}")
        return derive_budgets(stated, report.costs)

    return await steps.once(BASE_ID, LIMITS, 0, _BUDGETS, find)


def stored_budgets(history: SqliteHistory) -> tuple[Budget, ...] | None:
    """The limits a run was begun with, ``None`` where it ended before it had any."""
    stored = history.find_step(BASE_ID, LIMITS, 0)
    return None if stored is None else _BUDGETS.validate_python(stored["result"])
