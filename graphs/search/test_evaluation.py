"""The final test: base and winner of a finished search, on the published test split that no search opens.

``python -m graphs.search --run NAME --final-test`` trains both with fresh seeds on all the images the benchmark gives
them to train on, for CIFAR-10 the whole 50,000, and scores the last epoch on the test split (paper §5, Table 1). From
then on the search is over: it takes no further candidates, since what is known of the test split could choose them.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairnad.domain.recipe import Recipe
from fairnad.errors import SettingsError
from fairnad.formatting import count_text, spread_text
from fairnad.ports import Lab
from fairnad.records.candidate import Evaluation, Failure, plain
from fairnad.records.history import History, Record
from fairnad.search.finals import Finals
from fairnad.settings.search_settings import RunContext
from graphs.cli.arguments import SPOKEN, Presentation
from graphs.cli.output.terminal import print_json
from graphs.cli.stop_signals import stop_signals
from graphs.runtime.ending import FINAL_TEST, is_over
from graphs.runtime.inputs import resolve_recipes, task_defaults
from graphs.runtime.steps import EVALUATION, Steps
from graphs.search.finals import find_finals
from store.disk import write_whole
from store.run_folder import RunFolder, read_context, run_path

FILE_NAME = "final_test.json"


@dataclass(frozen=True)
class Result:
    """What a final test found: the accuracies in [0, 1] of each candidate, one a seed; failures are left out."""

    task: str
    num_train: int
    num_test: int
    recipe: Recipe
    seeds: Sequence[int]
    accuracies: Mapping[str, Sequence[float]]
    notices: Sequence[str]


def run(context: RunContext, presentation: Presentation = SPOKEN) -> int:
    """Open the test split for a finished search, and print how base and winner do on it.

    Args:
        presentation: quiet: the outcome alone; as JSON: the content of ``final_test.json`` in one line.

    Returns:
        The exit status: 0, or 130 or 143 where Ctrl-C or SIGTERM cut it off; asked for again it goes on from there.

    Raises:
        UserError: the search is not finished, the task has no published test split, or its files are missing.
        LabError: the sandbox broke.
    """
    return asyncio.run(_run(context, presentation))


def settings_of(context: RunContext) -> RunContext:
    """What the run of this name was begun with.

    Raises:
        SettingsError: there is no such run.
    """
    path = run_path(context)
    if not path.is_dir():
        raise SettingsError(f"--final-test: expected a finished search, found no run in {path}; search first")
    return read_context(path)


async def _run(context: RunContext, presentation: Presentation) -> int:
    follows = not (presentation.quiet or presentation.json)
    work = asyncio.ensure_future(_examine(context, follows))
    with stop_signals() as caught:
        caught.add_done_callback(lambda _: work.cancel())
        try:
            result, lines = await work
        except asyncio.CancelledError:
            if not caught.done():
                raise
            where = sys.stdout if follows else sys.stderr
            print("stopped; the same command goes on with the trainings that are left", file=where)
            return 128 + caught.result()
    if presentation.json:
        print_json(plain(result))
    else:
        print("\n".join(lines))
    return 0


async def _examine(context: RunContext, follows: bool) -> tuple[Result, list[str]]:
    """Train and test what is not tested yet; what came of it, and the same in lines.

    Args:
        follows: whether each training is told as it ends.
    """
    from tools.datasets.tasks import load_final_exam
    from tools.lab import TorchLab
    from tools.slots import environment

    defaults = task_defaults(context)
    with RunFolder.open(context) as folder:
        history = _finished_history(context, folder)
        exam = await asyncio.to_thread(
            load_final_exam,
            context.task,
            data=Path(context.data),
            defaults=defaults,
            image_size=context.image_size,
            splits=Path(context.splits) if context.splits else None,
        )
        finals = find_finals(folder.history, history)
        recipes = resolve_recipes(context, defaults, exam, environment(context.lab))
        recipe = recipes[finals.rung if finals else 0]
        _refuse_other_recipe(folder, recipe)
        lab = TorchLab(exam, recipe, context.lab, folder.scratch)
        try:
            await lab.start()
            accuracies = await _test(lab, Steps(folder.history), _tested(history, finals), _seeds(context), follows)
        finally:
            await lab.close()
        result = Result(
            task=context.task,
            num_train=len(exam.train),
            num_test=len(exam.validation),
            recipe=recipe,
            seeds=_seeds(context),
            accuracies=accuracies,
            notices=exam.report.notices,
        )
        await asyncio.to_thread(write_whole, folder.path / FILE_NAME, [json.dumps(plain(result), indent=1), "\n"])
    return result, _told(result, history)


def _finished_history(context: RunContext, folder: RunFolder) -> History:
    history = History(folder.history.records())
    if not is_over(context, folder.history) or not history.trained:
        raise SettingsError(
            f"--final-test: expected a finished search, found one that is not in {folder.path}; "
            "run the same command without --final-test first"
        )
    return history


def _refuse_other_recipe(folder: RunFolder, recipe: Recipe) -> None:
    """A test that goes on must be the test that was begun, with the same images, torch and device."""
    for _, stored in folder.history.find_steps(FINAL_TEST, 0):
        result = EVALUATION.validate_python(stored["result"])
        if isinstance(result, Evaluation) and result.recipe_digest != recipe.digest:
            raise SettingsError(
                f"--final-test: {folder.path} was tested by recipe {result.recipe_digest}, this start would test by "
                f"{recipe.digest} ({recipe.environment}): the data, torch or the device have changed"
            )


def _tested(history: History, finals: Finals | None) -> list[Record]:
    """Base and winner, where there were no finals the best of the search; the same one once."""
    winner = history[finals.winner_id] if finals else history.best
    records = [record for record in (history.base, winner) if record is not None]
    return list({record.candidate_id: record for record in records}.values())


def _seeds(context: RunContext) -> list[int]:
    """Fresh seeds, which follow the search's own; one at least."""
    return [context.seed + 1 + number for number in range(max(context.search.confirm_seeds, 1))]


async def _test(
    lab: Lab, steps: Steps, records: Sequence[Record], seeds: Sequence[int], follows: bool
) -> Mapping[str, Sequence[float]]:
    """Accuracies by candidate id; each training is told as it ends, where somebody follows, and taken once."""

    def say(line: str) -> None:
        if follows:
            print(line, flush=True)

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


def _told(result: Result, history: History) -> list[str]:
    base = history.base
    roles = {name: "base" if base is not None and name == base.candidate_id else "best" for name in result.accuracies}
    recipe = result.recipe
    return [
        *result.notices,
        f"{result.task}, trained on {result.num_train:,} images by recipe {recipe.name} ({recipe.num_epochs} epochs), "
        f"last epoch tested on {result.num_test:,}:",
        *(
            f"  {roles[candidate_id]}  {candidate_id:<22}  test accuracy {spread_text(accuracies)}"
            for candidate_id, accuracies in result.accuracies.items()
        ),
    ]
