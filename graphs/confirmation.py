"""Was it luck? Base and best are retrained with fresh seeds and compared on images no search has seen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fairnad.candidate import Evaluation
from graphs.steps import EVALUATION

if TYPE_CHECKING:
    from fairnad.history import Record
    from graphs.context import Bench

CONFIRM = "confirm"


async def confirm(bench: Bench) -> dict[str, list[float]]:
    """Accuracies in [0, 1] on the held-out images by candidate id, one for each fresh seed; failures are left out.

    The seeds follow the search's own, so that no confirmed network was trained with them before. A published test
    split is not for this: where a task has one nothing is retrained, and :mod:`graphs.final_test` opens it on demand.
    """
    if not bench.task.held_out_is_open:
        return {}
    history = await bench.history()
    compared = {record.candidate_id: record for record in (history.base, history.best) if record is not None}
    seeds = range(bench.context.search.confirm_seeds)
    jobs = [_confirm_once(bench, record, number) for record in compared.values() for number in seeds]
    results = iter(await asyncio.gather(*jobs))
    accuracies = {name: [next(results) for _ in seeds] for name in compared}
    return {name: [value for value in values if value is not None] for name, values in accuracies.items()}


async def _confirm_once(bench: Bench, record: Record, number: int) -> float | None:
    seed = bench.context.seed + 1 + number
    result = await bench.steps.once(
        record.candidate_id, CONFIRM, number, EVALUATION, lambda: bench.lab.hold_out(record.source, seed=seed)
    )
    return result.accuracy if isinstance(result, Evaluation) else None
