"""One candidate with the services of its run, for the nodes of the candidate graph."""

from __future__ import annotations

import ast
import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairnad.domain import budget
from fairnad.ports import CallContext, IdeaMutationRequest, Model, MutationRequest, Proposal
from fairnad.records.candidate import CandidateId, Failure, FailureKind, Stage, Step
from fairnad.search import sampling
from fairnad.search.draws import Draw
from graphs.runtime.registry import services
from graphs.runtime.steps import PROPOSAL

if TYPE_CHECKING:
    from langgraph.runtime import Runtime

    from fairnad.settings.search_settings import RunContext
    from graphs.candidate.state import CandidateState
    from graphs.runtime.run_services import RunServices

SINGLE_USE_ABOVE = 1.5
"""Above this multiple of a limit, the added module is used only once (paper Table 5)."""


@dataclass(frozen=True, slots=True)
class Work:
    """A candidate's draw and its run."""

    run: RunServices
    draw: Draw

    @property
    def stage(self) -> Stage:
        """The stage the candidate was drawn in."""
        return self.draw.slot.place.stage

    def call_context(self, version: int) -> CallContext:
        """Identifies a role's work on one version."""
        return CallContext(self.draw.candidate_id, version, self.run.context.seed, self.draw.choices)

    async def parent(self) -> Model:
        """The parent with its check report; the base model if it has none."""
        return await self.run.model(self.draw.slot.parent_id)

    async def propose(self) -> Proposal | Failure:
        """The first source, from the role that mutates in the candidate's stage."""
        if self.draw.refused:
            return Failure(Step.MUTATE, FailureKind.REVIEW, "a person refused the idea")
        if self.stage is Stage.BASE:
            return Proposal(self.run.base.source, prompt="", note=self.run.base.note)
        context, library = self.call_context(0), self.run.library
        if self.stage is Stage.REFINE:
            return await self.run.roles.idea_mutator.mutate_idea(await self._refinement(context))
        modules = await asyncio.to_thread(library.modules, context.choices.parts) if library else ()
        request = MutationRequest(context, self.draw.idea, self.draw.target, await self.parent(), modules)
        return await self.run.roles.mutator.mutate(request)

    async def _refinement(self, context: CallContext) -> IdeaMutationRequest:
        slot = self.draw.slot
        return IdeaMutationRequest(
            context,
            idea=(await self.run.record(slot.current_id)).idea,
            current=await self.run.model(slot.current_id),
            previous=await self.run.model(slot.previous_id or slot.current_id),
            improved=slot.parent_id == slot.current_id,
        )

    async def prompt(self) -> str:
        """The task of the mutator."""
        proposal = await self.run.steps.find(self.draw.candidate_id, Step.MUTATE, 0, PROPOSAL)
        return proposal.prompt if isinstance(proposal, Proposal) else ""

    async def wants_single_use(self, oversized: Model) -> bool:
        """Whether to restrict an added module to one use, because the costs are far over a limit (F.2.5)."""
        assert oversized.report is not None, "a downscaled source has run"
        added = class_names(oversized.source) - class_names((await self.parent()).source)
        return bool(added) and budget.far_over(oversized.report.costs, self.run.budgets, SINGLE_USE_ABOVE)

    def shrinking_idea(self, version: int, *, single_use: bool) -> str:
        """How to downscale: one of the pack's shrinking ideas, drawn uniformly for each try."""
        if single_use:
            return self.run.pack.single_use_idea
        place = CandidateId.parse(self.draw.candidate_id)
        generator = sampling.generator(self.run.context.seed, place, f"downscale {version}")
        return sampling.draw(self.run.pack.shrinking_ideas, generator)


async def open_work(state: CandidateState, runtime: Runtime[RunContext]) -> Work:
    """The candidate of a node's state, with its draw read from the history."""
    run = await services(runtime.context)
    return Work(run, await run.draws.read(state["candidate_id"]))


def class_names(source: str) -> set[str]:
    """The names of the classes a source defines at its top level."""
    return {node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
