"""Opens a bench: reads the pack, the task and the ideas, opens the run folder, starts the lab, casts the roles."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import hashlib
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fairnad.budget import Budget, Costs
from fairnad.candidate import CheckReport, Failure
from fairnad.errors import SettingsError
from fairnad.history import History
from fairnad.ideas import Idea
from fairnad.ports import IdeaStore
from fairnad.recipe import RECIPES, Recipe
from fairnad.sampling import Fairness, Key
from fairnad.selection import IdeaSelection, find_categories
from fairnad.settings import LabSettings, RunContext
from fairnad.task import TaskDefaults
from graphs.context import Bench
from graphs.isolation import refuse_weak_isolation
from graphs.limits import derive_budgets, resolve_budgets, settle_budgets
from graphs.results.ending import refuse_after_final_test
from graphs.roles import cast, make_roles
from graphs.steps import Steps

if TYPE_CHECKING:
    from prompts.loader import Pack
    from store.idea_store import ChromaIdeaStore, Embedder
    from tools.datasets.tasks import Task

_PATIENCE_SECONDS = 3
"""Reading images that takes longer is worth a line."""


@dataclass(frozen=True)
class Inputs:
    """Everything a search is given, read and checked; nothing is started or written for it.

    ``recipes`` are the search's own and those its best are promoted to.
    """

    pack: Pack
    base_source: str
    task: Task
    recipes: tuple[Recipe, ...]
    stated_budgets: tuple[Budget, ...]

    @property
    def recipe(self) -> Recipe:
        """The search's own."""
        return self.recipes[0]

    async def check_base(self, settings: LabSettings) -> CheckReport | Failure:
        """The base, checked and measured in a sandbox of its own.

        Raises:
            StorageError: there is no room for its files.
            LabError: the sandbox did not start or broke.
        """
        from tools.checks import check_alone
        from tools.slots import measuring_device

        limited, task = [budget.name for budget in self.stated_budgets], self.task
        device = measuring_device(settings)
        return await check_alone(self.base_source, settings, task.num_classes, task.image_size, limited, device)

    def budgets(self, base_costs: Costs) -> tuple[Budget, ...]:
        """All limits; those nobody states follow from the base's costs."""
        return derive_budgets(self.stated_budgets, base_costs)


def read_inputs(context: RunContext, stop: threading.Event | None = None) -> Inputs:
    """What a search with these settings works with.

    Args:
        stop: reading the images ends soon after it is set.

    Raises:
        UserError: a setting, the pack or the data cannot be used.
        StoppingError: reading was cut off.
    """
    from prompts.loader import load_pack
    from tools.slots import environment

    pack = load_pack(context.pack, context.prompt_wordings)
    base_source, defaults = _base_and_defaults(context, pack)
    task = _load_task(context, defaults, stop or threading.Event())
    recipes = resolve_recipes(context, defaults, task, environment(context.lab))
    return Inputs(pack, base_source, task, recipes, resolve_budgets(context, defaults, task.image_size))


async def open_bench(context: RunContext) -> Bench:
    """The bench for these settings. Everything the user can get wrong is found here, before any work is done.

    Raises:
        UserError: a setting, the pack, the data, the ideas or the run folder cannot be used.
        LabError: the sandbox does not start.
    """
    from agents.llm import LanguageModel
    from store.run_folder import RunFolder, refuse_changes_of_run
    from tools.lab import TorchLab

    by_model = any(cast(context).values())
    await asyncio.to_thread(refuse_changes_of_run, context)
    stop = threading.Event()
    try:
        inputs = await asyncio.to_thread(read_inputs, context, stop)
    finally:
        stop.set()  # whoever stops waiting for the images ends their reading
    pack = inputs.pack
    select = _selection(context, pack, await asyncio.to_thread(_open_ideas, context, pack))
    async with contextlib.AsyncExitStack() as undo:
        folder = await asyncio.to_thread(RunFolder.open, context)
        undo.push_async_callback(asyncio.to_thread, folder.close)
        await asyncio.to_thread(refuse_after_final_test, context, folder.history)
        limited = [budget.name for budget in inputs.stated_budgets]
        lab = await asyncio.to_thread(TorchLab, inputs.task, inputs.recipe, context.lab, folder.scratch, limited)
        undo.push_async_callback(lab.close)
        await lab.start()
        refuse_weak_isolation(context, lab.isolation)
        steps = Steps(folder.history)
        budgets = await settle_budgets(inputs.stated_budgets, inputs.base_source, lab, steps)
        await asyncio.to_thread(folder.note_task, inputs.task.report)
        model = LanguageModel(context.llm, folder.history) if by_model else None
        bench = Bench(
            context=context,
            folder=folder,
            pack=pack,
            task=inputs.task,
            recipes=inputs.recipes,
            budgets=budgets,
            base_source=inputs.base_source,
            lab=lab,
            language_model=model,
            select=select,
            roles=make_roles(context, pack, model, lab, budgets, select(())),
            steps=steps,
        )
        check_recipe(await bench.history(), inputs.recipe, folder.path)
        undo.pop_all()
    return bench


def check_recipe(history: History, recipe: Recipe, folder: Path) -> None:
    """Accuracies of two recipes are never compared, also not when only torch or the data have changed.

    Raises:
        SettingsError: the history holds some of another recipe.
    """
    for record in history.records:
        if record.evaluation is not None and record.evaluation.recipe_digest != recipe.digest:
            raise SettingsError(
                f"{folder} was trained by recipe {record.evaluation.recipe_digest}, this start would train by "
                f"{recipe.digest} ({recipe.environment}): the data, torch or the device have changed; "
                "choose another --run"
            )


def resolve_recipes(context: RunContext, defaults: TaskDefaults, task: Task, environment: str) -> tuple[Recipe, ...]:
    """The search's recipe, then those its best are promoted to, with all that decides an outcome in their digests.

    Raises:
        SettingsError: there is no recipe of that name, or it is there twice.
    """

    def resolve(flag: str, name: str, num_epochs: int) -> Recipe:
        if name not in RECIPES:
            raise SettingsError(f"{flag}: there is no recipe {name}{_nearest(name, RECIPES)}")
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
    for name in filter(None, map(str.strip, context.search.promote.split(","))):
        recipe = resolve("--search.promote", name, 0)
        if recipe in recipes:
            raise SettingsError(
                f"--search.promote: {name} with {recipe.num_epochs} epochs has trained these candidates already; "
                "name a longer recipe, or search by a shorter one (--recipe, --epochs)"
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
    """What the task of these settings brings.

    Raises:
        UserError: there is no such pack, task or base.
    """
    from prompts.loader import load_pack

    return _base_and_defaults(context, load_pack(context.pack))[1]


def load_task_of(context: RunContext) -> Task:
    """The task of these settings.

    Raises:
        UserError: there is no such task, or its images cannot be used.
    """
    return _load_task(context, task_defaults(context), threading.Event())


def _load_task(context: RunContext, defaults: TaskDefaults, stop: threading.Event) -> Task:
    from tools.datasets.tasks import load_task

    said = threading.Timer(_PATIENCE_SECONDS, _say_reading, [context.data, stop])
    if context.task == "folder":  # other data sets need no decoding
        said.start()
    try:
        return load_task(
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


def _say_reading(data: str, stop: threading.Event) -> None:
    if not stop.is_set():
        print(f"reading the images in {data}; this is done once", file=sys.stderr, flush=True)


def load_ideas(context: RunContext, pack: Pack) -> tuple[Idea, ...]:
    """The knowledge ideas of a run.

    Raises:
        IdeaFileError: their file cannot be read.
    """
    from prompts.pack_files import read_attribute_tree
    from store.idea_files import read_ideas
    from store.knowledge_folder import IDEAS_NAME, TREE_NAME

    place = Path(context.ideas).expanduser() if context.ideas else pack.ideas_file
    if place.is_dir():  # built by graphs.knowledge, with the tree its ideas are tagged by
        return read_ideas(place / IDEAS_NAME, read_attribute_tree(place / TREE_NAME))
    return read_ideas(place, pack.attribute_tree)


def ideas_folder(context: RunContext, ideas: Sequence[Idea], embedder: str) -> Path:
    """Where the index of these ideas by this embedder lies: in the folder ``graphs.knowledge`` built for them.

    Ideas of a file, and vectors of another model than that folder's, have theirs beside the runs, which share it.
    """
    from store.knowledge_folder import INDEX_NAME
    from tools.embedder import HashedEmbedder

    if context.ideas and Path(context.ideas).is_dir() and embedder == HashedEmbedder().name:
        return Path(context.ideas) / INDEX_NAME
    names = "".join([embedder, *sorted(idea.idea_id for idea in ideas)])
    return Path(context.runs) / ".ideas" / hashlib.sha256(names.encode()).hexdigest()[:12]


def make_embedder(context: RunContext) -> Embedder:
    """What makes vectors of ideas and questions: the endpoint's model where one is named, hashed words otherwise.

    Raises:
        SettingsError: the endpoint's base URL is none.
    """
    from tools.embedder import HashedEmbedder
    from tools.endpoint_embedder import EndpointEmbedder

    return EndpointEmbedder(context.embedding) if context.embedding.model else HashedEmbedder()


def find_ideas(context: RunContext, ideas: Sequence[Idea], *, read_only: bool = False) -> ChromaIdeaStore:
    """The store of these ideas; its index is neither read nor built yet.

    Raises:
        SettingsError: the embedding endpoint's base URL is none.
    """
    from store.idea_store import ChromaIdeaStore

    embed = make_embedder(context)
    return ChromaIdeaStore(ideas_folder(context, ideas, embed.name), ideas, embed, read_only=read_only)


def _open_ideas(context: RunContext, pack: Pack) -> ChromaIdeaStore:
    store = find_ideas(context, load_ideas(context, pack))
    store.ensure_index()
    return store


def _selection(context: RunContext, pack: Pack, store: IdeaStore) -> Callable[[Sequence[Idea]], IdeaSelection]:
    """Makes the selection of ideas that ``--pin`` and ``--ban`` leave, with a person's own ideas beside it."""
    pinned, banned = (_categories(flag, getattr(context, flag), pack) for flag in ("pin", "ban"))

    def select(own: Sequence[Idea]) -> IdeaSelection:
        return IdeaSelection(store, pinned=pinned, banned=banned, own=own)

    if not select(()).counts(Fairness.MAIN):
        raise SettingsError("--pin and --ban leave no idea to draw: pin more, or ban less")
    return select


def _categories(flag: str, names: Sequence[str], pack: Pack) -> list[Key]:
    try:
        return [path for name in names for path in find_categories(name, pack.attribute_tree)]
    except LookupError as error:
        raise SettingsError(f"--{flag}: {error.args[0]}") from error


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"
