"""``--final-test``: evaluates base and winner of a finished search on the published test split."""

from __future__ import annotations

import asyncio
import functools
import sys

from fairnad.errors import SettingsError
from fairnad.formatting import spread_text
from fairnad.records.candidate import BASE_ID, plain
from fairnad.settings.search_settings import RunContext
from graphs.cli.arguments import INTERACTIVE, Presentation
from graphs.cli.output.terminal import print_json
from graphs.cli.stop_signals import stop_signals
from graphs.search.test_evaluation import TestResult, evaluate_on_test_split
from store.run_folder import read_context, run_path


def run(context: RunContext, presentation: Presentation = INTERACTIVE) -> int:
    """Print the test accuracies of base and winner.

    Args:
        presentation: ``quiet`` prints only the result, ``json`` the content of ``final_test.json`` in one line.

    Returns:
        The exit status: 0, or 130 or 143 after Ctrl-C or SIGTERM; the same command continues.

    Raises:
        FairnadError: see :func:`graphs.search.test_evaluation.evaluate_on_test_split`.
    """
    return asyncio.run(_run(context, presentation))


def settings_of(context: RunContext) -> RunContext:
    """The settings of the run to test.

    Raises:
        SettingsError: the run is unknown.
    """
    path = run_path(context)
    if not path.is_dir():
        raise SettingsError(f"--final-test: expected a finished search, found no run in {path}; search first")
    return read_context(path)


async def _run(context: RunContext, presentation: Presentation) -> int:
    is_spoken = not (presentation.quiet or presentation.json)
    say = functools.partial(print, flush=True) if is_spoken else lambda line: None
    work = asyncio.ensure_future(evaluate_on_test_split(context, say))
    with stop_signals() as caught:
        caught.add_done_callback(lambda _: work.cancel())
        try:
            result = await work
        except asyncio.CancelledError:
            if not caught.done():
                raise
            where = sys.stdout if is_spoken else sys.stderr
            print("stopped; the same command continues with the remaining trainings", file=where)
            return 128 + caught.result()
    if presentation.json:
        print_json(plain(result))
    else:
        print("\n".join(_describe(result)))
    return 0


def _describe(result: TestResult) -> list[str]:
    recipe = result.recipe
    return [
        *result.notices,
        f"{result.task}, trained on {result.num_train:,} images by recipe {recipe.name} ({recipe.num_epochs} epochs), "
        f"last epoch tested on {result.num_test:,}:",
        *(
            f"  {'base' if name == BASE_ID else 'best'}  {name:<22}  test accuracy {spread_text(accuracies)}"
            for name, accuracies in result.accuracies.items()
        ),
    ]
