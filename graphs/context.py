"""The bench the nodes of a run work at: live objects built once per settings, and the questions nodes ask of them."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from fairnad import budget, sampling
from fairnad.budget import Budget
from fairnad.candidate import CandidateId, CheckReport, Evaluation, Failure, Stage, Step
from fairnad.history import History, Record
from fairnad.ideas import Idea, MutationTarget
from fairnad.ports import Errand, IdeaMutationRequest, IdeaSampler, Model, MutationRequest, Proposal
from fairnad.settings import RunContext
from graphs.steps import EVALUATION, PROPOSAL, REPORT, Steps

if TYPE_CHECKING:
    from agents.llm import LanguageModel
    from graphs.roles import Roles
    from graphs.state import CandidateState
    from prompts.loader import Pack
    from store.run_folder import RunFolder
    from tools.datasets import Task
    from tools.lab import TorchLab

IDEA = TypeAdapter(Idea)


@dataclass(frozen=True)
class Bench:
    """Everything a node needs of the world. ``model`` is ``None`` where no role is played by a language model."""

    context: RunContext
    folder: RunFolder
    pack: Pack
    task: Task
    budgets: Sequence[Budget]
    base_source: str
    lab: TorchLab
    language_model: LanguageModel | None
    ideas: IdeaSampler
    roles: Roles
    steps: Steps

    def stage(self, candidate_id: str) -> Stage:
        """The stage a candidate was drawn in."""
        return CandidateId.parse(candidate_id).stage

    def errand(self, candidate_id: str, version: int) -> Errand:
        """What names a role's work on one version of a candidate."""
        return Errand(candidate_id, version, self.context.seed)

    async def history(self) -> History:
        """Every record so far."""
        return History(await asyncio.to_thread(self.folder.history.records))

    async def record(self, candidate_id: str) -> Record:
        """One record.

        Raises:
            LookupError: there is none of that id.
        """
        found = await asyncio.to_thread(self.folder.history.find_record, candidate_id)
        if found is None:
            raise LookupError(f"there is no record of {candidate_id}")
        return found

    async def model(self, candidate_id: str) -> Model:
        """A recorded candidate's source with its report; the base model where ``candidate_id`` is empty."""
        source = (await self.record(candidate_id)).source if candidate_id else self.base_source
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
        return await self.steps.once(
            candidate_id, Step.TRAIN, version, EVALUATION, lambda: self.lab.train(source, seed=seed)
        )

    async def propose(self, state: CandidateState) -> Proposal | Failure:
        """A candidate's first source, from whoever makes it in its stage."""
        errand, stage = self.errand(state["candidate_id"], 0), self.stage(state["candidate_id"])
        if stage is Stage.BASE:
            return Proposal(self.base_source, prompt="")
        if stage is Stage.REFINE:
            return await self.roles.idea_mutator.mutate_idea(await self._refinement(state, errand))
        target, parent = MutationTarget(state["target"]), await self.model(state["parent_id"])
        return await self.roles.mutator.mutate(MutationRequest(errand, self.idea(state), target, parent))

    async def _refinement(self, state: CandidateState, errand: Errand) -> IdeaMutationRequest:
        current = await self.record(state["current_id"])
        return IdeaMutationRequest(
            errand,
            idea=current.idea,
            current=await self.model(state["current_id"]),
            previous=await self.model(state["previous_id"] or state["current_id"]),
            improved=state["parent_id"] == state["current_id"],
        )

    def idea(self, state: CandidateState) -> Idea:
        """The idea a candidate was drawn with."""
        return IDEA.validate_python(state["idea"])

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
        """Store a record, and let the candidates that wait for it go on."""
        await asyncio.to_thread(self.folder.history.add_record, record)
        self.steps.let_others_be_judged(record.candidate_id)

    async def finish(self, outcome: str, held_out: Mapping[str, Sequence[float]]) -> None:
        """Note how the search ended, and write the files people read."""
        await asyncio.to_thread(self.folder.history.set_status, outcome)
        await self.write_files(held_out)

    async def write_files(self, held_out: Mapping[str, Sequence[float]]) -> None:
        """Sources, calls and the report, for people and other programs to read."""
        from graphs.report import write_report

        history = await self.history()
        await asyncio.to_thread(self.folder.export)
        await asyncio.to_thread(write_report, self.folder.path, self.context, self.budgets, history, held_out)

    async def stop(self, grace_seconds: float) -> None:
        """Begin no new work, give running jobs and calls their grace, then kill the jobs; all stay pending."""
        self.lab.stop()
        if self.language_model is not None:
            self.language_model.stop()
        try:
            await asyncio.wait_for(self.steps.idle(), grace_seconds)
        except TimeoutError:
            await self.lab.kill_jobs()

    async def close(self) -> None:
        """End the lab and give the run folder back."""
        await self.lab.close()
        if self.language_model is not None:
            await self.language_model.aclose()
        await asyncio.to_thread(self.folder.close)


def class_names(source: str) -> set[str]:
    """The names of the classes a source defines at its top level."""
    return {node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}


_benches: dict[str, asyncio.Task[Bench]] = {}


async def services(context: RunContext) -> Bench:
    """The bench for these settings, opened by the first who asks and shared by all in this process."""
    from graphs.assembly import open_bench

    key = context.model_dump_json()
    if key not in _benches or _benches[key].get_loop() is not asyncio.get_running_loop():
        _benches[key] = asyncio.ensure_future(open_bench(context))
    try:
        return await asyncio.shield(_benches[key])
    except Exception:
        _benches.pop(key, None)
        raise


async def release(context: RunContext) -> None:
    """Close the bench for these settings; the next who asks opens a new one."""
    task = _benches.pop(context.model_dump_json(), None)
    if task is not None and not task.cancelled() and task.exception() is None:
        await task.result().close()


async def current_bench() -> Bench:
    """The bench of the graph that is running this code, for tools."""
    from langgraph.runtime import get_runtime

    return await services(get_runtime(RunContext).context)
