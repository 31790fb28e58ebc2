"""Successive halving after a cheap search: the best candidates are retrained, rung by rung, by longer recipes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fairnad.records.candidate import Evaluation, Failure
from fairnad.search.promotion import Rung, promoted
from graphs.runtime.progress_events import Ticker, trainings
from graphs.runtime.steps import EVALUATION
from graphs.runtime.training_forecast import retraining_seconds

if TYPE_CHECKING:
    from fairnad.domain.recipe import Recipe
    from graphs.runtime.run_services import RunServices


async def climb(run: RunServices) -> list[Rung]:
    """The rungs from the search up to the last one with a trained candidate; each training runs once.

    Candidates keep the search seed on every rung. The base takes no part; the finals compare it with the finalists.
    """
    search, history = run.context.search, await run.history()
    reached = {record.candidate_id: record.evaluation for record in history.ranking if record.evaluation is not None}
    rungs = [Rung(run.recipes[0], reached)]
    for recipe in run.recipes[1:] if history.trained else ():
        chosen = promoted(rungs[-1].ranking, search.promote_one_in, search.finalists)
        async with trainings("promote", run.lab.num_slots, len(chosen)) as ticker:
            results = await asyncio.gather(*(_train(run, candidate_id, recipe, ticker) for candidate_id in chosen))
        trained = {
            candidate_id: result
            for candidate_id, result in zip(chosen, results, strict=True)
            if isinstance(result, Evaluation)
        }
        if not trained:
            break
        rungs.append(Rung(recipe, trained))
    return rungs


async def _train(run: RunServices, candidate_id: str, recipe: Recipe, ticker: Ticker) -> Evaluation | Failure:
    record = await run.record(candidate_id)

    async def train() -> Evaluation | Failure:
        result = await run.lab.retrain(record.source, seed=seed, recipe=recipe, in_slot=piece.running)
        return result if isinstance(result, Failure) else result.evaluation

    seed, seconds = run.context.seed, retraining_seconds(record.evaluation, run.recipes, recipe)
    with ticker.piece(expected_seconds=seconds, candidate_id=candidate_id, seed=seed) as piece:
        return await run.steps.once(candidate_id, f"promote {recipe.digest}", 0, EVALUATION, train)
