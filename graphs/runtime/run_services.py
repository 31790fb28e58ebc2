"""The services of one run: live objects, built once and shared by all nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairnad.domain.budget import Budget
from fairnad.domain.recipe import Recipe
from fairnad.ideas.idea import Idea
from fairnad.ports import Model
from fairnad.records.candidate import BASE_ID, CheckReport, Evaluation, Failure, Step
from fairnad.records.history import History, Record
from fairnad.search.idea_selection import IdeaSelection
from fairnad.search.stalls import StallCounter
from fairnad.settings.search_settings import RunContext
from graphs.runtime.async_candidates import AsyncCandidates
from graphs.runtime.draws import Draws
from graphs.runtime.progress_events import ticking
from graphs.runtime.spend_limit import SpendLimit
from graphs.runtime.steps import EVALUATION, REPORT, Steps
from graphs.runtime.training_forecast import training_seconds

if TYPE_CHECKING:
    from agents.llm.client import LanguageModel
    from fairnad.ports import Roles
    from graphs.runtime.base_scaling import Base
    from graphs.runtime.module_library import RunLibrary
    from prompts.loader import Pack
    from store.run_folder import RunFolder
    from tools.datasets.tasks import Task
    from tools.lab import TorchLab


@dataclass(frozen=True)
class RunServices:
    """Everything the nodes of a run need besides their state.

    ``recipes`` holds the search recipe, then the recipes of the promotion; ``select`` selects ideas and adds the user's
    own. ``language_model`` is ``None`` if no role uses one, ``library`` is ``None`` without a module library.
    ``stalled`` counts draws without a trained candidate since this start; ``async_candidates`` is used only by the
    steady-state schedule.
    """

    # Settings and inputs
    context: RunContext
    pack: Pack
    task: Task
    recipes: Sequence[Recipe]
    budgets: Sequence[Budget]
    base: Base
    select: Callable[[Sequence[Idea]], IdeaSelection]
    # Stores
    folder: RunFolder
    steps: Steps
    draws: Draws
    # Roles and lab
    roles: Roles
    language_model: LanguageModel | None
    library: RunLibrary | None
    lab: TorchLab
    async_candidates: AsyncCandidates
    # Limits
    spend_limit: SpendLimit
    stalled: StallCounter

    async def history(self) -> History:
        """Every record so far."""
        return History(await asyncio.to_thread(self.folder.history.records))

    async def record(self, candidate_id: str) -> Record:
        """One record.

        Raises:
            LookupError: the id has no record.
        """
        found = await asyncio.to_thread(self.folder.history.find_record, candidate_id)
        if found is None:
            raise LookupError(f"no record of {candidate_id}")
        return found

    async def source(self, candidate_id: str) -> str:
        """The source of a recorded candidate; of the base model if ``candidate_id`` is empty."""
        return (await self.record(candidate_id)).source if candidate_id else self.base.source

    async def model(self, candidate_id: str) -> Model:
        """The source with its check report."""
        source = await self.source(candidate_id)
        report = await self.lab.check(source)
        return Model(source, report if isinstance(report, CheckReport) else None)

    async def version(self, candidate_id: str, version: int) -> Model:
        """One version of a candidate that ran, with its check report."""
        report = await self.check(candidate_id, version)
        source = await self.steps.last_source(candidate_id, version)
        return Model(source, report if isinstance(report, CheckReport) else None)

    async def check(self, candidate_id: str, version: int) -> CheckReport | Failure:
        """The check report of one version of a candidate; the job runs once."""
        source = await self.steps.last_source(candidate_id, version)
        return await self.steps.once(candidate_id, Step.EXECUTE, version, REPORT, lambda: self.lab.check(source))

    async def train(self, candidate_id: str, version: int) -> Evaluation | Failure:
        """The evaluation of one version of a candidate; the job runs once. All candidates use the same seed."""
        source = await self.steps.last_source(candidate_id, version)
        seed = self.context.seed

        async def train() -> Evaluation | Failure:
            seconds = await self._training_seconds(candidate_id, version)
            async with ticking(
                Step.TRAIN,
                num_slots=self.lab.num_slots,
                expected_seconds=seconds,
                candidate_id=candidate_id,
                seed=seed,
            ) as piece:
                return await self.lab.train(source, seed=seed, in_slot=piece.running)

        return await self.steps.once(candidate_id, Step.TRAIN, version, EVALUATION, train)

    async def _training_seconds(self, candidate_id: str, version: int) -> float | None:
        """The expected seconds of a training, ``None`` until the base has trained."""
        base = await asyncio.to_thread(self.folder.history.find_record, BASE_ID)
        report = await self.check(candidate_id, version)
        if base is None or base.evaluation is None or isinstance(report, Failure):
            return None
        return training_seconds(base.evaluation, report.costs)

    async def add_record(self, record: Record) -> None:
        """Store a record and its new modules, and release the candidates that wait for it."""
        if self.library is not None:
            await self.library.admit(record, await self.source(record.parent_id))
        await asyncio.to_thread(self.folder.history.add_record, record)
        self.steps.let_others_be_judged(record.candidate_id)

    async def stop(self, grace_seconds: float) -> None:
        """Stop new work, wait ``grace_seconds`` for running jobs and calls, then kill the jobs."""
        self.lab.stop()
        self.spend_limit.stop()
        if self.language_model is not None:
            self.language_model.stop()
        try:
            await asyncio.wait_for(self.steps.idle(), grace_seconds)
        except TimeoutError:
            await self.lab.kill_jobs()

    async def close(self) -> None:
        """Close candidates in flight, jobs and clients, and release the run folder."""
        await self.async_candidates.cancel()
        await self.lab.close()
        if self.language_model is not None:
            await self.language_model.aclose()
        await self.spend_limit.close()
        if self.library is not None:
            await asyncio.to_thread(self.library.close)
        await asyncio.to_thread(self.folder.close)
