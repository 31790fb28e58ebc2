"""The finals: was it luck? Finalists and base are retrained with fresh seeds, and their weights are kept.

The winner is chosen by validation accuracy. Only then are winner and base shown the held-out images, where a search
may open them at all; what they say there is told and decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from fairnad.records.candidate import Evaluation, Failure
from fairnad.records.history import History
from fairnad.search.finals import Finalist, Finals, winner_of
from graphs.runtime.progress_events import Ticker, trainings
from graphs.runtime.training_forecast import retraining_seconds
from store.result_files import keep, read_kept

if TYPE_CHECKING:
    from fairnad.domain.recipe import Recipe
    from graphs.runtime.run_services import Bench
    from store.history_store import SqliteHistory


@dataclass(frozen=True, slots=True)
class Retraining:
    """A finalist trained with one seed; the digest is that of the file its weights are kept in."""

    evaluation: Evaluation
    weights_digest: str


_RETRAINING: TypeAdapter[Retraining | Failure] = TypeAdapter(Retraining | Failure)
_ACCURACY: TypeAdapter[float | Failure] = TypeAdapter(float | Failure)
FINALS: TypeAdapter[Finals | None] = TypeAdapter(Finals | None)
_STEP = "finals"


async def hold_finals(bench: Bench, finalist_ids: Sequence[str], rung: int = 0) -> Finals | None:
    """Retrain finalists and base, choose the winner, compare it with the base; each step is taken once.

    Args:
        finalist_ids: by rank, the best first.
        rung: which of the run's recipes they are trained by.

    Returns:
        ``None`` where no seed was asked for or nobody trained.
    """
    history, recipe = await bench.history(), bench.recipes[rung]
    assert history.base is not None, "a search without a base ends before its finals"
    base_id = history.base.candidate_id
    ids = [*(candidate_id for candidate_id in finalist_ids if candidate_id != base_id), base_id]
    num_trainings = len(ids) * bench.context.search.confirm_seeds
    async with trainings("retrain", bench.lab.num_slots, num_trainings) as ticker:
        finalists = await asyncio.gather(*(_retrain(bench, candidate_id, recipe, ticker) for candidate_id in ids))
    winner = winner_of(finalists, base_id)
    if winner is None:
        return None
    compared = {winner.candidate_id, base_id} if bench.task.held_out_is_open else set()
    shown = [one for one in finalists if one.candidate_id in compared]
    num_shown = sum(len(one.validation) for one in shown)
    async with trainings("hold out", bench.lab.num_slots, num_shown) as ticker:
        results = await asyncio.gather(*(_hold_out(bench, one, recipe, ticker) for one in shown))
    told = {one.candidate_id: one for one in results}
    finals = Finals(
        rung=rung,
        recipe_name=recipe.name,
        recipe_digest=recipe.digest,
        base_id=base_id,
        winner_id=winner.candidate_id,
        finalists=tuple(told.get(one.candidate_id, one) for one in finalists),
        control_id=base_id if bench.base.is_scaled else "",
    )

    async def note() -> Finals | None:
        return finals

    # A search that goes on with more candidates holds finals anew, hence the version.
    await bench.steps.once(winner.candidate_id, _STEP, len(history.trained), FINALS, note)
    return finals


async def kept_weights(bench: Bench, candidate_id: str, seed: int, recipe_digest: str) -> bytes:
    """The weights of a finalist, the content of a safetensors file.

    Raises:
        RunFolderError: the file is gone or was changed.
    """
    step, number = _retrain_step(recipe_digest), _number(bench, seed)
    retraining = await bench.steps.find(candidate_id, step, number, _RETRAINING)
    assert isinstance(retraining, Retraining), "only what has trained has weights"
    path = _weights_path(bench, candidate_id, seed, recipe_digest)
    return await asyncio.to_thread(read_kept, path, retraining.weights_digest)


def find_finals(store: SqliteHistory, history: History) -> Finals | None:
    """What the finals of a run came to, ``None`` where they were not held since it last trained a candidate."""
    stored = store.find_steps(_STEP, len(history.trained))
    return FINALS.validate_python(stored[-1][1]["result"]) if stored else None


async def _retrain(bench: Bench, candidate_id: str, recipe: Recipe, ticker: Ticker) -> Finalist:
    seeds = [bench.context.seed + 1 + number for number in range(bench.context.search.confirm_seeds)]
    results = await asyncio.gather(*(_retrain_once(bench, candidate_id, seed, recipe, ticker) for seed in seeds))
    trained = {
        seed: result.evaluation.accuracy
        for seed, result in zip(seeds, results, strict=True)
        if isinstance(result, Retraining)
    }
    return Finalist(candidate_id, trained)


async def _retrain_once(
    bench: Bench, candidate_id: str, seed: int, recipe: Recipe, ticker: Ticker
) -> Retraining | Failure:
    record = await bench.record(candidate_id)

    async def train() -> Retraining | Failure:
        trained = await bench.lab.retrain(record.source, seed=seed, recipe=recipe, in_slot=piece.running)
        if isinstance(trained, Failure):
            return trained
        path = _weights_path(bench, candidate_id, seed, recipe.digest)
        return Retraining(trained.evaluation, await asyncio.to_thread(keep, path, trained.weights))

    step, seconds = _retrain_step(recipe.digest), retraining_seconds(record.evaluation, bench.recipes, recipe)
    with ticker.piece(expected_seconds=seconds, candidate_id=candidate_id, seed=seed) as piece:
        return await bench.steps.once(candidate_id, step, _number(bench, seed), _RETRAINING, train)


async def _hold_out(bench: Bench, finalist: Finalist, recipe: Recipe, ticker: Ticker) -> Finalist:
    seeds = list(finalist.validation)
    results = await asyncio.gather(
        *(_hold_out_once(bench, finalist.candidate_id, seed, recipe, ticker) for seed in seeds)
    )
    shown = {seed: result for seed, result in zip(seeds, results, strict=True) if isinstance(result, float)}
    return replace(finalist, held_out=shown)


async def _hold_out_once(bench: Bench, candidate_id: str, seed: int, recipe: Recipe, ticker: Ticker) -> float | Failure:
    record = await bench.record(candidate_id)

    async def show() -> float | Failure:
        weights = await kept_weights(bench, candidate_id, seed, recipe.digest)
        return await bench.lab.hold_out(record.source, weights, seed=seed, in_slot=piece.running)

    step = f"hold out {recipe.digest}"
    with ticker.piece(candidate_id=candidate_id, seed=seed) as piece:
        return await bench.steps.once(candidate_id, step, _number(bench, seed), _ACCURACY, show)


def _retrain_step(recipe_digest: str) -> str:
    return f"retrain {recipe_digest}"


def _number(bench: Bench, seed: int) -> int:
    """Fresh seeds are counted from 0 and follow the search's own, so that no finalist was trained with one before."""
    return seed - bench.context.seed - 1


def _weights_path(bench: Bench, candidate_id: str, seed: int, recipe_digest: str) -> Path:
    return bench.folder.path / "weights" / f"{candidate_id}-{recipe_digest}-seed{seed}.safetensors"
