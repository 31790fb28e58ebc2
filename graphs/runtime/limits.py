"""The limits of a run: from the settings, else from the task, else a multiple of the base's costs."""

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
"""The step that stores the limits."""
UNITS = {"params": "parameters", "flops": "multiply-adds an image"}
"""The units of the budgets that every run has."""


def resolve_budgets(context: RunContext, defaults: TaskDefaults, image_size: int) -> tuple[Budget, ...]:
    """The limits set by settings or task; unset limits follow from the base's costs.

    The task's limit on FLOPs is for its default image size and scales with the image area. Latency and activation
    memory are limited only by settings.

    Raises:
        SettingsError: the latency on a GPU is limited, but the machine has no GPU.
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
    """The set limits; unset limits of :data:`UNITS` are four times the base's costs."""
    by_name = {budget.name: budget for budget in stated}
    always = {name: by_name.get(name) or Budget(name, UNITS[name], DERIVED_LIMIT * costs[name]) for name in UNITS}
    return tuple((always | by_name).values())


async def settle_budgets(stated: Sequence[Budget], base_source: str, lab: Lab, steps: Steps) -> tuple[Budget, ...]:
    """The limits of a run, stored once, so that a resumed run keeps them.

    Raises:
        BaseModelError: a limit depends on the base, but the base does not run.
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


def read_budgets(history: SqliteHistory) -> tuple[Budget, ...] | None:
    """The stored limits of a run, ``None`` if it ended before it stored them."""
    stored = history.find_step(BASE_ID, LIMITS, 0)
    return None if stored is None else _BUDGETS.validate_python(stored["result"])
