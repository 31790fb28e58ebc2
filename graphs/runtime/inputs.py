"""The inputs of a search: pack, base, data, recipes and limits, read and checked before it starts."""

from __future__ import annotations

import difflib
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fairnad.domain.budget import Budget, Costs
from fairnad.domain.recipe import RECIPES, Recipe
from fairnad.domain.task import TaskDefaults
from fairnad.errors import BaseModelError, SettingsError
from fairnad.records.candidate import CheckReport, Failure
from fairnad.records.history import History, Record
from fairnad.settings.search_settings import LabSettings, RunContext
from graphs.runtime.base_scaling import Base, make_base, wants_scaling
from graphs.runtime.limits import derive_budgets, resolve_budgets

if TYPE_CHECKING:
    from prompts.loader import Pack
    from store.history_store import SqliteHistory
    from tools.checks import Checker
    from tools.datasets.tasks import Task

_PATIENCE_SECONDS = 3
"""Seconds until a line says that images are being read."""


@dataclass(frozen=True)
class Inputs:
    """The inputs of a search, read and checked without starting or writing anything.

    ``recipes`` holds the search recipe, then the recipes of the promotion. ``scales_base``: whether the base is widened
    to its limits before the search.
    """

    pack: Pack
    base_source: str
    task: Task
    recipes: tuple[Recipe, ...]
    stated_budgets: tuple[Budget, ...]
    scales_base: bool

    @property
    def recipe(self) -> Recipe:
        """The recipe of the search."""
        return self.recipes[0]

    async def check_base(self, settings: LabSettings) -> CheckReport | Failure:
        """Check and measure the base in a separate sandbox.

        Raises:
            StorageError: there is no room for its files.
            LabError: the sandbox did not start or broke.
        """
        async with self._checker(settings) as checker:
            return await checker.check(self.base_source)

    def _checker(self, settings: LabSettings) -> AbstractAsyncContextManager[Checker]:
        from tools.checks import lone_checker
        from tools.slots import measuring_device

        limited, task = [budget.name for budget in self.stated_budgets], self.task
        return lone_checker(settings, task.contract, limited, measuring_device(settings))

    async def measure_base(self, settings: LabSettings, record: Record | None) -> tuple[Base, Costs, Sequence[Budget]]:
        """The base of a search with its costs, and all limits, measured in a separate sandbox.

        Args:
            record: the record of the base, if the run has one; the base is then not scaled again.

        Raises:
            BaseModelError: the base does not run.
            StorageError: there is no room for its files.
            LabError: the sandbox did not start or broke.
        """
        async with self._checker(settings) as checker:
            given = await checker.check(self.base_source)
            if isinstance(given, Failure):
                raise BaseModelError(f"the base model cannot be used: {given.step}: {given.message}")
            budgets = derive_budgets(self.stated_budgets, given.costs)
            source, scales = (record.source, False) if record is not None else (self.base_source, self.scales_base)
            base = await make_base(source, checker.check, budgets, scales=scales)
            measured = await checker.check(base.source)
        assert isinstance(measured, CheckReport), "the base was just checked"
        if record is not None:
            base = replace(base, note=record.note)
        return base, measured.costs, budgets


def read_inputs(context: RunContext, stop: threading.Event | None = None) -> Inputs:
    """The inputs of a search with these settings.

    Args:
        stop: set it to stop reading images.

    Raises:
        UserError: a setting, the pack or the data cannot be used.
        StoppingError: ``stop`` was set.
    """
    from prompts.loader import load_pack
    from tools.slots import environment

    pack = load_pack(context.pack, context.prompts)
    base_source, defaults = _base_and_defaults(context, pack)
    task = _load_task(context, defaults, stop or threading.Event())
    recipes = resolve_recipes(context, defaults, task, environment(context.lab))
    stated = resolve_budgets(context, defaults, task.image_size)
    return Inputs(pack, base_source, task, recipes, stated, wants_scaling(context, defaults))


def check_recipe(history: History, recipe: Recipe, folder: Path) -> None:
    """Check that a history was trained by this recipe: accuracies of different recipes are never compared.

    Raises:
        SettingsError: the history holds trainings by another recipe.
    """
    for record in history.records:
        if record.evaluation is not None and record.evaluation.recipe_digest != recipe.digest:
            raise SettingsError(
                f"{folder} was trained by recipe {record.evaluation.recipe_digest}, but this start uses "
                f"{recipe.digest} ({recipe.environment}): the data, torch or the device have changed; "
                "choose another --run"
            )


_OLD_LIBRARY = "modules.py"
"""The module library of earlier versions; their runs resume with the ``modules`` folder instead."""


def _is_library(name: str) -> bool:
    return name == _OLD_LIBRARY or name.startswith("modules/")


def check_pack(store: SqliteHistory, pack: Pack, folder: Path) -> None:
    """Check that the files of a run's pack have not changed.

    Args:
        store: the history of the run, with the digests of the pack's files.

    Raises:
        SettingsError: a file of the pack has changed.
    """
    stored, files = store.pack_digest(), store.pack_files()
    if stored in ("", pack.digest):
        return
    changes = [
        f"{name} {'is new' if name not in files else 'is gone' if name not in pack.files else 'has changed'}"
        for name in sorted({*files, *pack.files})
        if files.get(name) != pack.files.get(name) and not (_OLD_LIBRARY in files and _is_library(name))
    ]
    if files and not changes:
        return
    # Earlier versions stored only the digest of the pack.
    difference = ", ".join(changes) if files else f"its digest was {stored} and is now {pack.digest}"
    raise SettingsError(
        f"{folder} was started with other files of pack {pack.name}: in {pack.folder}, {difference}; "
        "resume it with the original files, or choose another --run"
    )


def resolve_recipes(context: RunContext, defaults: TaskDefaults, task: Task, environment: str) -> tuple[Recipe, ...]:
    """The search recipe, then the recipes of the promotion; their digests include everything that affects results.

    Raises:
        SettingsError: a recipe is unknown, or named twice.
    """

    def resolve(flag: str, name: str, num_epochs: int) -> Recipe:
        if name not in RECIPES:
            raise SettingsError(f"{flag}: unknown recipe {name}{_nearest(name, RECIPES)}")
        return replace(
            RECIPES[name],
            num_epochs=num_epochs or RECIPES[name].num_epochs,
            flip_probability=task.flip_probability,
            crop_padding=task.crop_padding,
            task_digest=task.digest,
            environment=environment,
            precision=context.lab.precision,
            compiled=context.lab.compile,
        )

    recipes = [resolve("--recipe", context.recipe or defaults.recipe, context.epochs)]
    for name in context.search.promotion_recipes:
        recipe = resolve("--search.promote", name, 0)
        if recipe in recipes:
            raise SettingsError(
                f"--search.promote: {name} with {recipe.num_epochs} epochs repeats an earlier recipe of this search; "
                "name a longer recipe, or search with a shorter one (--recipe, --epochs)"
            )
        recipes.append(recipe)
    return tuple(recipes)


def _base_and_defaults(context: RunContext, pack: Pack) -> tuple[str, TaskDefaults]:
    if context.task not in pack.tasks:
        nearest = _nearest(context.task, pack.tasks)
        raise SettingsError(f"--task: the pack {pack.name} has no task {context.task}{nearest}")
    defaults = pack.tasks[context.task]
    if context.flip is not None:
        defaults = replace(defaults, flip_probability=context.flip)
    return pack.base_source(context.base or defaults.base), defaults


def task_defaults(context: RunContext) -> TaskDefaults:
    """The defaults of the task of these settings.

    Raises:
        UserError: the pack, task or base is unknown.
    """
    from prompts.loader import load_pack

    return _base_and_defaults(context, load_pack(context.pack))[1]


def _load_task(context: RunContext, defaults: TaskDefaults, stop: threading.Event) -> Task:
    from tools.datasets.splits import MIN_SIDE
    from tools.datasets.tasks import load_task

    if 0 < context.image_size < MIN_SIDE:
        raise SettingsError(
            f"--image-size: expected {MIN_SIDE} pixels or more, found {context.image_size}; raise it, or omit it"
        )
    notice = threading.Timer(_PATIENCE_SECONDS, _print_reading, [context.data, stop])
    if context.task == "folder":  # other data sets need no decoding
        notice.start()
    try:
        return load_task(
            context.task,
            data=Path(context.data),
            image_size=context.image_size,
            defaults=defaults,
            split_seed=context.split_seed,
            cache=Path(context.runs) / ".images",
            stop=stop,
        )
    finally:
        notice.cancel()


def _print_reading(data: str, stop: threading.Event) -> None:
    if not stop.is_set():
        print(f"reading the images in {data}; this is done once", file=sys.stderr, flush=True)


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"
