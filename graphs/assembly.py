"""Opens a bench: reads the pack, the task and the ideas, opens the run folder, starts the lab, casts the roles."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import hashlib
import sys
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fairnad.errors import SettingsError
from fairnad.history import History
from fairnad.recipe import RECIPES, Recipe
from fairnad.sampling import Fairness
from fairnad.settings import RunContext
from fairnad.task import TaskDefaults
from graphs.context import Bench
from graphs.ending import refuse_after_final_test
from graphs.limits import resolve_budgets, settle_budgets
from graphs.roles import cast, make_roles
from graphs.steps import Steps

if TYPE_CHECKING:
    from prompts.loader import Pack
    from store.idea_store import ChromaIdeaStore
    from tools.datasets import Task

_PATIENCE_SECONDS = 3
"""Reading images that takes longer is worth a line."""


async def open_bench(context: RunContext) -> Bench:
    """The bench for these settings. Everything the user can get wrong is found here, before any work is done.

    Raises:
        UserError: a setting, the pack, the data, the ideas or the run folder cannot be used.
        LabError: the sandbox does not start.
    """
    from agents.idea_sampler import FairIdeaSampler
    from agents.llm import LanguageModel
    from prompts.loader import load_pack
    from store.run_folder import RunFolder
    from tools.lab import TorchLab, device_name, environment

    by_model = any(cast(context).values())
    pack = await asyncio.to_thread(load_pack, context.pack)
    base_source, defaults = await asyncio.to_thread(_base_and_defaults, context, pack)
    task = await load_task_of(context, defaults)
    recipe = resolve_recipe(context, defaults, task, environment(device_name(context.lab.device)))
    stated = resolve_budgets(context, defaults, task.image_size)
    idea_store = await asyncio.to_thread(_open_ideas, context, pack)
    async with contextlib.AsyncExitStack() as undo:
        folder = await asyncio.to_thread(RunFolder.open, context)
        undo.push_async_callback(asyncio.to_thread, folder.close)
        refuse_after_final_test(context, folder.history)
        lab = TorchLab(task, recipe, context.lab, folder.scratch)
        undo.push_async_callback(lab.close)
        await lab.start()
        steps = Steps(folder.history)
        budgets = await settle_budgets(stated, base_source, lab, steps)
        await asyncio.to_thread(folder.note_task, task.report)
        model = LanguageModel(context.llm, folder.history) if by_model else None
        fairness = Fairness(context.search.fairness)
        bench = Bench(
            context=context,
            folder=folder,
            pack=pack,
            task=task,
            budgets=budgets,
            base_source=base_source,
            lab=lab,
            language_model=model,
            ideas=FairIdeaSampler(idea_store, fairness, pack.upscaling_ideas, pack.adjustment_ideas),
            roles=make_roles(context, pack, model, lab, budgets, idea_store),
            steps=steps,
        )
        _check_recipe(await bench.history(), recipe, folder.path)
        undo.pop_all()
    return bench


def _check_recipe(history: History, recipe: Recipe, folder: Path) -> None:
    """Accuracies of two recipes are never compared, also not when only torch or the data have changed."""
    for record in history.records:
        if record.evaluation is not None and record.evaluation.recipe_digest != recipe.digest:
            raise SettingsError(
                f"{folder} was trained by recipe {record.evaluation.recipe_digest}, this start would train by "
                f"{recipe.digest} ({recipe.environment}): the data, torch or the device have changed; "
                "choose another --run"
            )


def resolve_recipe(context: RunContext, defaults: TaskDefaults, task: Task, environment: str) -> Recipe:
    """The recipe of a run, with the task's augmentation and all that decides its outcome in its digest.

    Raises:
        SettingsError: there is no recipe of that name.
    """
    name = context.recipe or defaults.recipe
    if name not in RECIPES:
        raise SettingsError(f"--recipe: there is no recipe {name}{_nearest(name, RECIPES)}")
    return replace(
        RECIPES[name],
        num_epochs=context.epochs or RECIPES[name].num_epochs,
        flip_probability=task.flip_probability,
        crop_padding=task.crop_padding,
        task_digest=task.digest,
        environment=environment,
    )


def _base_and_defaults(context: RunContext, pack: Pack) -> tuple[str, TaskDefaults]:
    if context.task not in pack.tasks:
        nearest = _nearest(context.task, pack.tasks)
        raise SettingsError(f"--task: the pack {pack.name} has no task {context.task}{nearest}")
    defaults = pack.tasks[context.task]
    if context.flip is not None:
        defaults = replace(defaults, flip_probability=context.flip)
    return pack.base_source(context.base or defaults.base), defaults


def task_defaults(context: RunContext) -> TaskDefaults:
    """What the task of these settings brings.

    Raises:
        UserError: there is no such pack, task or base.
    """
    from prompts.loader import load_pack

    return _base_and_defaults(context, load_pack(context.pack))[1]


async def load_task_of(context: RunContext, defaults: TaskDefaults) -> Task:
    """The task of these settings; whoever stops waiting for it ends the reading of its images.

    Raises:
        UserError: there is no such task, or its images cannot be used.
    """
    from tools.datasets import load_task

    stop = threading.Event()
    said = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, _say_reading, context.data)
    try:
        return await asyncio.to_thread(
            load_task,
            context.task,
            data=Path(context.data),
            image_size=context.image_size,
            defaults=defaults,
            splits=Path(context.splits) if context.splits else None,
            split_seed=context.split_seed,
            cache=Path(context.runs) / ".images",
            stop=stop,
        )
    finally:
        said.cancel()
        stop.set()


def _say_reading(data: str) -> None:
    print(f"reading the images in {data}; this is done once", file=sys.stderr, flush=True)


def _open_ideas(context: RunContext, pack: Pack) -> ChromaIdeaStore:
    from store.idea_files import read_ideas
    from store.idea_store import ChromaIdeaStore
    from tools.embedder import HashedEmbedder

    ideas = read_ideas(Path(context.ideas) if context.ideas else pack.ideas_file, pack.attribute_tree)
    digest = hashlib.sha256("".join(sorted(idea.idea_id for idea in ideas)).encode()).hexdigest()[:12]
    return ChromaIdeaStore.open(Path(context.runs) / ".ideas" / digest, ideas, HashedEmbedder())


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"
