"""The finals: finalists and base are retrained with fresh seeds, and their weights are stored.

The winner is chosen by validation accuracy. Afterwards winner and base are scored on the held-out images, if the task
has any; these scores are only reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from fairnad.records.candidate import Failure
from fairnad.search.finals import Finalist, Finals, winner_of
from graphs.runtime.progress_events import Ticker, trainings
from graphs.runtime.stored_finals import (
    FINALS,
    FINALS_STEP,
    RETRAINING,
    Retraining,
    read_weights,
    retrain_step,
    seed_number,
    weights_path,
)
from graphs.runtime.training_forecast import retraining_seconds
from store.result_files import keep

if TYPE_CHECKING:
    from fairnad.domain.recipe import Recipe
    from graphs.runtime.run_services import RunServices


_ACCURACY: TypeAdapter[float | Failure] = TypeAdapter(float | Failure)


async def hold_finals(run: RunServices, finalist_ids: Sequence[str], rung: int = 0) -> Finals | None:
    """Retrain finalists and base, choose the winner, and compare it with the base; each step runs once.

    Args:
        finalist_ids: by rank, the best first.
        rung: index of the training recipe in the run's recipes.

    Returns:
        ``None`` if no fresh seed is configured or no retraining succeeded.
    """
    history, recipe = await run.history(), run.recipes[rung]
    assert history.base is not None, "a search without a base ends before its finals"
    base_id = history.base.candidate_id
    ids = [*(candidate_id for candidate_id in finalist_ids if candidate_id != base_id), base_id]
    num_trainings = len(ids) * run.context.search.confirm_seeds
    async with trainings("retrain", run.lab.num_slots, num_trainings) as ticker:
        finalists = await asyncio.gather(*(_retrain(run, candidate_id, recipe, ticker) for candidate_id in ids))
    winner = winner_of(finalists, base_id, history.objective)
    if winner is None:
        return None
    compared = {winner.candidate_id, base_id} if run.task.held_out_is_open else set()
    shown = [one for one in finalists if one.candidate_id in compared]
    num_shown = sum(len(one.validation) for one in shown)
    async with trainings("hold out", run.lab.num_slots, num_shown) as ticker:
        results = await asyncio.gather(*(_hold_out(run, one, recipe, ticker) for one in shown))
    scored = {one.candidate_id: one for one in results}
    finals = Finals(
        rung=rung,
        recipe_name=recipe.name,
        recipe_digest=recipe.digest,
        base_id=base_id,
        winner_id=winner.candidate_id,
        finalists=tuple(scored.get(one.candidate_id, one) for one in finalists),
        control_id=base_id if run.base.is_scaled else "",
        metric=history.objective.name,
    )

    async def result() -> Finals | None:
        return finals

    # A search that continues with more candidates holds new finals, hence the version.
    await run.steps.once(winner.candidate_id, FINALS_STEP, len(history.trained), FINALS, result)
    return finals


async def _retrain(run: RunServices, candidate_id: str, recipe: Recipe, ticker: Ticker) -> Finalist:
    seeds = [run.context.seed + 1 + number for number in range(run.context.search.confirm_seeds)]
    results = await asyncio.gather(*(_retrain_once(run, candidate_id, seed, recipe, ticker) for seed in seeds))
    trained = {
        seed: result.evaluation.accuracy
        for seed, result in zip(seeds, results, strict=True)
        if isinstance(result, Retraining)
    }
    return Finalist(candidate_id, trained)


async def _retrain_once(
    run: RunServices, candidate_id: str, seed: int, recipe: Recipe, ticker: Ticker
) -> Retraining | Failure:
    record = await run.record(candidate_id)

    async def train() -> Retraining | Failure:
        trained = await run.lab.retrain(record.source, seed=seed, recipe=recipe, in_slot=piece.running)
        if isinstance(trained, Failure):
            return trained
        path = weights_path(run, candidate_id, seed, recipe.digest)
        return Retraining(trained.evaluation, await asyncio.to_thread(keep, path, trained.weights))

    step, seconds = retrain_step(recipe.digest), retraining_seconds(record.evaluation, run.recipes, recipe)
    with ticker.piece(expected_seconds=seconds, candidate_id=candidate_id, seed=seed) as piece:
        return await run.steps.once(candidate_id, step, seed_number(run, seed), RETRAINING, train)


async def _hold_out(run: RunServices, finalist: Finalist, recipe: Recipe, ticker: Ticker) -> Finalist:
    seeds = list(finalist.validation)
    results = await asyncio.gather(
        *(_hold_out_once(run, finalist.candidate_id, seed, recipe, ticker) for seed in seeds)
    )
    shown = {seed: result for seed, result in zip(seeds, results, strict=True) if isinstance(result, float)}
    return replace(finalist, held_out=shown)


async def _hold_out_once(
    run: RunServices, candidate_id: str, seed: int, recipe: Recipe, ticker: Ticker
) -> float | Failure:
    record = await run.record(candidate_id)

    async def show() -> float | Failure:
        weights = await read_weights(run, candidate_id, seed, recipe.digest)
        return await run.lab.hold_out(record.source, weights, seed=seed, in_slot=piece.running)

    step = f"hold out {recipe.digest}"
    with ticker.piece(candidate_id=candidate_id, seed=seed) as piece:
        return await run.steps.once(candidate_id, step, seed_number(run, seed), _ACCURACY, show)
