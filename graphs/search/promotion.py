"""Successive halving after a cheap search: the best are trained again, rung by rung, by better recipes."""

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
    from graphs.runtime.run_services import Bench


async def climb(bench: Bench) -> list[Rung]:
    """The rungs from the search itself up to the last in which anybody trained; each training happens once.

    Candidates keep the search's seed on every rung. The base is no candidate: it meets the finalists in the finals.
    """
    search, history = bench.context.search, await bench.history()
    reached = {record.candidate_id: record.evaluation for record in history.ranking if record.evaluation is not None}
    rungs = [Rung(bench.recipes[0], reached)]
    for recipe in bench.recipes[1:] if history.trained else ():
        chosen = promoted(rungs[-1].ranking, search.promote_one_in, search.finalists)
        async with trainings("promote", bench.lab.num_slots, len(chosen)) as ticker:
            results = await asyncio.gather(*(_train(bench, candidate_id, recipe, ticker) for candidate_id in chosen))
        trained = {
            candidate_id: result
            for candidate_id, result in zip(chosen, results, strict=True)
            if isinstance(result, Evaluation)
        }
        if not trained:
            break
        rungs.append(Rung(recipe, trained))
    return rungs


async def _train(bench: Bench, candidate_id: str, recipe: Recipe, ticker: Ticker) -> Evaluation | Failure:
    record = await bench.record(candidate_id)

    async def train() -> Evaluation | Failure:
        result = await bench.lab.retrain(record.source, seed=seed, recipe=recipe, in_slot=piece.running)
        return result if isinstance(result, Failure) else result.evaluation

    seed, seconds = bench.context.seed, retraining_seconds(record.evaluation, bench.recipes, recipe)
    with ticker.piece(expected_seconds=seconds, candidate_id=candidate_id, seed=seed) as piece:
        return await bench.steps.once(candidate_id, f"promote {recipe.digest}", 0, EVALUATION, train)
