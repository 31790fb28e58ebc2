"""Makes the record of a candidate (paper Equation 1)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from fairnad.formatting import share_text
from fairnad.ports import Proposal
from fairnad.records.candidate import CheckReport, Evaluation, Failure, FailureKind, Step
from fairnad.records.history import Record, Repair
from graphs.runtime.steps import EVALUATION, FAILURE, JUDGEMENT, PROPOSAL, REPORT, judgement_version

if TYPE_CHECKING:
    from graphs.candidate.state import CandidateState
    from graphs.candidate.work import Work
    from graphs.runtime.run_services import RunServices


async def make_record(state: CandidateState, work: Work) -> Record:
    """The record of a candidate whose loop has ended, trained or discarded."""
    candidate_id, run, draw = state["candidate_id"], work.run, work.draw
    proposal = await run.steps.find(candidate_id, Step.MUTATE, 0, PROPOSAL)
    mutated = proposal.idea if isinstance(proposal, Proposal) else None
    evaluation, failure = await _outcome(state, run)
    judgement = await run.steps.find(candidate_id, Step.JUDGE, judgement_version(state["num_edits"]), JUDGEMENT)
    calls = tuple(await asyncio.to_thread(run.folder.history.calls, candidate_id))
    return Record(
        candidate_id=candidate_id,
        parent_id=draw.slot.parent_id,
        idea=mutated or draw.idea,
        source=await run.steps.last_source(candidate_id, state.get("version", -1)),
        evaluation=evaluation,
        failure=failure,
        note=proposal.note if isinstance(proposal, Proposal) else "",
        num_debugs=state["num_debugs"],
        num_downscales=state["num_downscales"],
        num_edits=state["num_edits"] + draw.idea_edited,
        choices=draw.choices,
        repairs=await list_repairs(candidate_id, state.get("version", -1), run),
        duplicate_of=judgement.duplicate_of if judgement else "",
        calls=calls,
        seconds=sum(call.seconds for call in calls) + (evaluation.seconds if evaluation else 0.0),
    )


async def list_repairs(candidate_id: str, version: int, run: RunServices) -> tuple[Repair, ...]:
    """Every debug up to a version that tried a repair, with its failure and its outcome."""
    steps, store = run.steps, run.folder.history
    repairs: list[Repair] = []
    failure: Failure | None = None
    for number in range(version + 1):
        proposal = await steps.find(candidate_id, Step.DEBUG, number, PROPOSAL)
        report = await steps.find(candidate_id, Step.EXECUTE, number, REPORT)
        if proposal is not None and failure is not None:
            num_calls = await asyncio.to_thread(store.num_calls, candidate_id, "debug", number)
            if num_calls or isinstance(proposal, Proposal):
                repairs.append(Repair(failure.kind, number, isinstance(report, CheckReport), num_calls))
        if report is not None:
            failure = report if isinstance(report, Failure) else None
    return tuple(repairs)


async def _outcome(state: CandidateState, run: RunServices) -> tuple[Evaluation | None, Failure | None]:
    if state["failure"]:
        return None, FAILURE.validate_python(state["failure"])
    result = await run.steps.find(state["candidate_id"], Step.TRAIN, state["version"], EVALUATION)
    if result is None:
        return None, _over_budget(state)
    return (None, result) if isinstance(result, Failure) else (result, None)


def _over_budget(state: CandidateState) -> Failure:
    shares = json.loads(state["calls"][-1].content)["shares"]
    over = ", ".join(f"{name} at {share_text(share)} of its limit" for name, share in shares.items() if share > 1)
    return Failure(Step.DOWNSCALE, FailureKind.BUDGET, f"{over} after {state['num_downscales']} downscales")
