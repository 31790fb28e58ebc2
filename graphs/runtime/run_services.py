"""The bench the nodes of a run work at: live objects built once per settings, and the questions nodes ask of them."""

from __future__ import annotations

import ast
import asyncio
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from fairnad.domain import budget
from fairnad.domain.budget import Budget
from fairnad.domain.recipe import Recipe
from fairnad.errors import RunFolderError
from fairnad.ideas.idea import Idea, MutationTarget
from fairnad.ports import Errand, IdeaMutationRequest, Model, MutationRequest, Proposal
from fairnad.records.candidate import BASE_ID, CandidateId, CheckReport, Evaluation, Failure, FailureKind, Stage, Step
from fairnad.records.draw_decisions import Choices
from fairnad.records.history import History, Record
from fairnad.search import sampling
from fairnad.search.idea_selection import IdeaSelection
from fairnad.search.stalls import BarrenCount
from fairnad.settings.search_settings import RunContext
from graphs.runtime.progress_events import ticking
from graphs.runtime.spend_limit import Purse
from graphs.runtime.steps import EVALUATION, PROPOSAL, REPORT, Steps
from graphs.runtime.training_forecast import training_seconds

if TYPE_CHECKING:
    from agents.llm.client import LanguageModel
    from graphs.candidate.state import CandidateInput, CandidateState, SearchState, SteadyDraw
    from graphs.runtime.base_scaling import Base
    from graphs.runtime.draw_choices import Offer
    from graphs.runtime.module_library import Library
    from graphs.runtime.roles import Roles
    from graphs.search.async_candidates import Flights
    from prompts.loader import Pack
    from store.run_folder import RunFolder
    from tools.datasets.tasks import Task
    from tools.lab import TorchLab

IDEA = TypeAdapter(Idea)
CHOICES = TypeAdapter(Choices)


@dataclass(frozen=True)
class Bench:
    """Everything a node needs of the world.

    ``language_model`` is ``None`` where no role is played by one, ``library`` where none is offered checked modules;
    ``select`` gives the ideas that may be drawn, with a person's own beside them. ``recipes`` are the search's own and
    those its best are promoted to. ``flights`` are empty but in the steady schedule, ``to_follow`` are the draws of a
    steady search that is replayed. ``barren`` counts the draws without a trained candidate since this start.
    """

    context: RunContext
    folder: RunFolder
    pack: Pack
    task: Task
    recipes: Sequence[Recipe]
    budgets: Sequence[Budget]
    base: Base
    lab: TorchLab
    purse: Purse
    language_model: LanguageModel | None
    library: Library | None
    select: Callable[[Sequence[Idea]], IdeaSelection]
    roles: Roles
    steps: Steps
    flights: Flights
    to_follow: Sequence[SteadyDraw]
    barren: BarrenCount

    def stage(self, candidate_id: str) -> Stage:
        """The stage a candidate was drawn in."""
        return CandidateId.parse(candidate_id).stage

    def errand(self, state: CandidateInput, version: int) -> Errand:
        """What names a role's work on one version of a candidate."""
        return Errand(state["candidate_id"], version, self.context.seed, self.choices(state))

    @property
    def offer(self) -> Offer | None:
        """Says which checked modules are offered for an idea, ``None`` where there is no library."""
        return self.library.offered if self.library else None

    async def history(self) -> History:
        """Every record so far."""
        return History(await asyncio.to_thread(self.folder.history.records))

    async def before(self, generation: int, stage: Stage, round_number: int = 1) -> History:
        """The records a stage is planned from: all that were drawn before it, also where the search went back."""
        return (await self.history()).before((generation, stage.order, round_number))

    async def up_to(self, state: SearchState) -> History:
        """The records up to the wave that has just been drawn, which it leaves as they are."""
        stage = (state["generation"], Stage(state["stage"]).order, state["round"])
        places = [CandidateId.parse(candidate["candidate_id"]).order for candidate in state["wave"]]
        last = max(places, default=(*stage, sys.maxsize, 0))
        return (await self.history()).before((*last, 0))

    async def record(self, candidate_id: str) -> Record:
        """One record.

        Raises:
            LookupError: there is none of that id.
        """
        found = await asyncio.to_thread(self.folder.history.find_record, candidate_id)
        if found is None:
            raise LookupError(f"there is no record of {candidate_id}")
        return found

    async def source(self, candidate_id: str) -> str:
        """A recorded candidate's source; the base model where ``candidate_id`` is empty."""
        return (await self.record(candidate_id)).source if candidate_id else self.base.source

    async def model(self, candidate_id: str) -> Model:
        """The same with its report."""
        source = await self.source(candidate_id)
        report = await self.lab.check(source)
        return Model(source, report if isinstance(report, CheckReport) else None)

    async def version(self, candidate_id: str, version: int) -> Model:
        """One version of a candidate that ran, with its report."""
        report = await self.check(candidate_id, version)
        source = await self.steps.last_source(candidate_id, version)
        return Model(source, report if isinstance(report, CheckReport) else None)

    async def check(self, candidate_id: str, version: int) -> CheckReport | Failure:
        """The check job's report on one version of a candidate; the job runs once."""
        source = await self.steps.last_source(candidate_id, version)
        return await self.steps.once(candidate_id, Step.EXECUTE, version, REPORT, lambda: self.lab.check(source))

    async def train(self, candidate_id: str, version: int) -> Evaluation | Failure:
        """The evaluation of one version of a candidate; the job runs once. Every candidate has the same seed."""
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
        """What a training is expected to take, ``None`` until the base has trained."""
        base = await asyncio.to_thread(self.folder.history.find_record, BASE_ID)
        report = await self.check(candidate_id, version)
        if base is None or base.evaluation is None or isinstance(report, Failure):
            return None
        return training_seconds(base.evaluation, report.costs)

    async def propose(self, state: CandidateState) -> Proposal | Failure:
        """A candidate's first source, from whoever makes it in its stage; nobody does where its idea was refused."""
        if state["refused"]:
            return Failure(Step.MUTATE, FailureKind.REVIEW, "a person refused the idea")
        errand, stage = self.errand(state, 0), self.stage(state["candidate_id"])
        if stage is Stage.BASE:
            return Proposal(self.base.source, prompt="", note=self.base.note)
        if stage is Stage.REFINE:
            return await self.roles.idea_mutator.mutate_idea(await self._refinement(state, errand))
        target, parent = MutationTarget(state["target"]), await self.model(state["parent_id"])
        parts = await asyncio.to_thread(self.library.parts, errand.choices.parts) if self.library else ()
        return await self.roles.mutator.mutate(MutationRequest(errand, self.idea(state), target, parent, parts))

    async def _refinement(self, state: CandidateState, errand: Errand) -> IdeaMutationRequest:
        current = await self.record(state["current_id"])
        return IdeaMutationRequest(
            errand,
            idea=current.idea,
            current=await self.model(state["current_id"]),
            previous=await self.model(state["previous_id"] or state["current_id"]),
            improved=state["parent_id"] == state["current_id"],
        )

    def idea(self, state: CandidateInput) -> Idea:
        """The idea a candidate was drawn with."""
        return IDEA.validate_python(state["idea"])

    def choices(self, state: CandidateInput) -> Choices:
        """What was chosen for a candidate at its draw."""
        return CHOICES.validate_python(state["choices"])

    async def refuse_another(self, state: CandidateState) -> None:
        """A candidate that is recorded is not made again otherwise, by a search that went back to a checkpoint.

        Raises:
            RunFolderError: the record of this id is of another parent or idea.
        """
        record = await asyncio.to_thread(self.folder.history.find_record, state["candidate_id"])
        if record is None:
            return
        idea = self.idea(state)
        if record.parent_id != state["parent_id"] or (idea.text and record.idea != idea):
            run = self.context.run_name
            raise RunFolderError(
                f"{record.candidate_id} is recorded in {self.folder.path} with another parent or idea: a search that "
                "goes back and changes something needs a folder of its own, which "
                f"`python -m graphs.search fork {shlex.quote(f'{run}@CHECKPOINT')} NEW` makes"
            )

    async def prompt(self, candidate_id: str) -> str:
        """What the mutator of a candidate was asked for."""
        proposal = await self.steps.find(candidate_id, Step.MUTATE, 0, PROPOSAL)
        return proposal.prompt if isinstance(proposal, Proposal) else ""

    async def wants_single_use(self, state: CandidateState) -> bool:
        """Whether to restrict the added module to one use: far over a limit, and there is an added module (F.2.5)."""
        oversized = await self.version(state["candidate_id"], state["ran_version"])
        parent = await self.model(state["parent_id"])
        assert oversized.report is not None, "what is downscaled has run"
        factor = self.context.search.single_use_above
        added = class_names(oversized.source) - class_names(parent.source)
        return bool(added) and budget.far_over(oversized.report.costs, self.budgets, factor)

    def shrinking_idea(self, candidate_id: str, version: int, *, single_use: bool) -> str:
        """How to downscale: one of the pack's shrinking ideas, drawn uniformly for each try."""
        if single_use:
            return self.pack.single_use_idea
        generator = sampling.generator(self.context.seed, CandidateId.parse(candidate_id), f"downscale {version}")
        return sampling.draw(self.pack.shrinking_ideas, generator)

    async def add_record(self, record: Record) -> None:
        """Store a record with the modules it brings, and let the candidates that wait for it go on."""
        if self.library is not None:
            await self.library.admit(record, await self.source(record.parent_id))
        await asyncio.to_thread(self.folder.history.add_record, record)
        self.steps.let_others_be_judged(record.candidate_id)

    async def stop(self, grace_seconds: float) -> None:
        """Begin no new work, give running jobs and calls their grace, then kill the jobs; all stay pending."""
        self.lab.stop()
        self.purse.stop()
        if self.language_model is not None:
            self.language_model.stop()
        try:
            await asyncio.wait_for(self.steps.idle(), grace_seconds)
        except TimeoutError:
            await self.lab.kill_jobs()

    async def close(self) -> None:
        """End what is in flight and the lab, and give the run folder back."""
        await self.flights.cancel()
        await self.lab.close()
        if self.language_model is not None:
            await self.language_model.aclose()
        await self.purse.close()
        if self.library is not None:
            await asyncio.to_thread(self.library.close)
        await asyncio.to_thread(self.folder.close)


def class_names(source: str) -> set[str]:
    """The names of the classes a source defines at its top level."""
    return {node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
