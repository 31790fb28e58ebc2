"""The stored finals: their result, and the weights of each retraining."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from fairnad.records.candidate import Evaluation, Failure
from fairnad.records.history import History
from fairnad.search.finals import Finals
from store.result_files import read_kept

if TYPE_CHECKING:
    from graphs.runtime.run_services import RunServices
    from store.history_store import SqliteHistory

FINALS_STEP = "finals"
FINALS: TypeAdapter[Finals | None] = TypeAdapter(Finals | None)


@dataclass(frozen=True, slots=True)
class Retraining:
    """A finalist trained with one seed, and the digest of the file with its weights."""

    evaluation: Evaluation
    weights_digest: str


RETRAINING: TypeAdapter[Retraining | Failure] = TypeAdapter(Retraining | Failure)


def find_finals(store: SqliteHistory, history: History) -> Finals | None:
    """The finals of a run, ``None`` if a candidate was trained after them."""
    stored = store.find_steps(FINALS_STEP, len(history.trained))
    return FINALS.validate_python(stored[-1][1]["result"]) if stored else None


async def read_weights(run: RunServices, candidate_id: str, seed: int, recipe_digest: str) -> bytes:
    """The weights of a finalist, as a safetensors file.

    Raises:
        RunFolderError: the file is missing or was changed.
    """
    step, number = retrain_step(recipe_digest), seed_number(run, seed)
    retraining = await run.steps.find(candidate_id, step, number, RETRAINING)
    assert isinstance(retraining, Retraining), "a finalist without a failure has weights"
    path = weights_path(run, candidate_id, seed, recipe_digest)
    return await asyncio.to_thread(read_kept, path, retraining.weights_digest)


def retrain_step(recipe_digest: str) -> str:
    """The name of the step that retrains a finalist."""
    return f"retrain {recipe_digest}"


def seed_number(run: RunServices, seed: int) -> int:
    """The version of the step for a fresh seed: fresh seeds follow the search seed and count from 0."""
    return seed - run.context.seed - 1


def weights_path(run: RunServices, candidate_id: str, seed: int, recipe_digest: str) -> Path:
    """The file with the weights of a retraining."""
    return run.folder.path / "weights" / f"{candidate_id}-{recipe_digest}-seed{seed}.safetensors"
