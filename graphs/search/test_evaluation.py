"""The final test: base and winner of a finished search on the published test split, which searches never use.

Both are trained with fresh seeds on all training images of the benchmark (CIFAR-10: 50,000), and the last epoch is
scored on the test split (paper §5, Table 1). Afterwards the search accepts no further candidates, because the test
result could influence their choice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairnad.domain.recipe import Recipe
from fairnad.errors import SettingsError
from fairnad.formatting import count_text
from fairnad.ports import Lab
from fairnad.records.candidate import Evaluation, Failure, plain
from fairnad.records.history import History, Record
from fairnad.search.finals import Finals
from fairnad.settings.search_settings import RunContext
from graphs.runtime.ending import FINAL_TEST, is_over
from graphs.runtime.inputs import resolve_recipes, task_defaults
from graphs.runtime.steps import EVALUATION, Steps
from graphs.runtime.stored_finals import find_finals
from store.disk import write_whole
from store.run_folder import RunFolder

FILE_NAME = "final_test.json"


@dataclass(frozen=True)
class TestResult:
    """The accuracies in [0, 1] of base and winner, one per seed, by candidate id; failures are left out."""

    __test__ = False  # not a pytest class

    task: str
    num_train: int
    num_test: int
    recipe: Recipe
    seeds: Sequence[int]
    accuracies: Mapping[str, Sequence[float]]
    notices: Sequence[str]


async def evaluate_on_test_split(context: RunContext, say: Callable[[str], None]) -> TestResult:
    """Train and test base and winner, and store the result in ``final_test.json``; each training runs once.

    Args:
        say: called with a line after each training.

    Raises:
        UserError: the search is not finished, the task has no published test split, or its files are missing.
        LabError: the sandbox broke.
    """
    from tools.datasets.tasks import load_final_task
    from tools.lab import TorchLab
    from tools.slots import environment

    defaults = task_defaults(context)
    with RunFolder.open(context) as folder:
        history = _finished_history(context, folder)
        task = await asyncio.to_thread(
            load_final_task,
            context.task,
            data=Path(context.data),
            defaults=defaults,
            image_size=context.image_size,
        )
        finals = find_finals(folder.history, history)
        recipes = resolve_recipes(context, defaults, task, environment(context.lab))
        recipe = recipes[finals.rung if finals else 0]
        _refuse_other_recipe(folder, recipe)
        lab = TorchLab(task, recipe, context.lab, folder.scratch)
        try:
            await lab.start()
            accuracies = await _test(lab, Steps(folder.history), _tested(history, finals), _seeds(context), say)
        finally:
            await lab.close()
        result = TestResult(
            task=context.task,
            num_train=len(task.train),
            num_test=len(task.validation),
            recipe=recipe,
            seeds=_seeds(context),
            accuracies=accuracies,
            notices=task.report.notices,
        )
        await asyncio.to_thread(write_whole, folder.path / FILE_NAME, [json.dumps(plain(result), indent=1), "\n"])
    return result


def _finished_history(context: RunContext, folder: RunFolder) -> History:
    history = History(folder.history.records())
    if not is_over(context, folder.history) or not history.trained:
        raise SettingsError(
            f"--final-test: expected a finished search, found an unfinished one in {folder.path}; "
            "run the same command without --final-test first"
        )
    return history


def _refuse_other_recipe(folder: RunFolder, recipe: Recipe) -> None:
    """Check that a resumed test uses the same images, torch and device as before."""
    for _, stored in folder.history.find_steps(FINAL_TEST, 0):
        result = EVALUATION.validate_python(stored["result"])
        if isinstance(result, Evaluation) and result.recipe_digest != recipe.digest:
            raise SettingsError(
                f"--final-test: {folder.path} was tested by recipe {result.recipe_digest}, but this start uses "
                f"{recipe.digest} ({recipe.environment}): the data, torch or the device have changed"
            )


def _tested(history: History, finals: Finals | None) -> list[Record]:
    """Base and winner (without finals, the best of the search); only the base if both are the same."""
    winner = history[finals.winner_id] if finals else history.best
    records = [record for record in (history.base, winner) if record is not None]
    return list({record.candidate_id: record for record in records}.values())


def _seeds(context: RunContext) -> list[int]:
    """Fresh seeds, which follow the search seed; at least one."""
    return [context.seed + 1 + number for number in range(max(context.search.confirm_seeds, 1))]


async def _test(
    lab: Lab, steps: Steps, records: Sequence[Record], seeds: Sequence[int], say: Callable[[str], None]
) -> Mapping[str, Sequence[float]]:
    async def once(record: Record, number: int) -> float | None:
        name = f"{record.candidate_id}, seed {seeds[number]}"
        result = await steps.once(
            record.candidate_id, FINAL_TEST, number, EVALUATION, lambda: lab.train(record.source, seed=seeds[number])
        )
        if isinstance(result, Failure):
            say(f"  {name}: {result.step}: {result.message}")
            return None
        say(f"  {name}: {result.accuracy:.4f}")
        return result.accuracy

    say(f"final test: {count_text(len(records) * len(seeds), 'training')}")
    numbers = range(len(seeds))
    found = iter(await asyncio.gather(*(once(record, number) for record in records for number in numbers)))
    accuracies = {record.candidate_id: [next(found) for _ in numbers] for record in records}
    return {name: [value for value in values if value is not None] for name, values in accuracies.items()}
