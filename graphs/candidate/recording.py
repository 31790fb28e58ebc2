"""From the end of a feedback loop to the record that stays (paper Equation 1)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from fairnad.formatting import share_text
from fairnad.ideas.idea import Idea
from fairnad.ports import Proposal
from fairnad.records.candidate import CheckReport, Evaluation, Failure, FailureKind, Step
from fairnad.records.history import Record, Repair
from graphs.runtime.steps import EVALUATION, FAILURE, JUDGEMENT, PROPOSAL, REPORT, judgement_version

if TYPE_CHECKING:
    from graphs.candidate.state import CandidateState
    from graphs.runtime.run_services import Bench


async def make_record(state: CandidateState, bench: Bench) -> Record:
    """The record of a candidate whose loop has ended, trained or discarded."""
    candidate_id = state["candidate_id"]
    proposal = await bench.steps.find(candidate_id, Step.MUTATE, 0, PROPOSAL)
    evaluation, failure = await _outcome(state, bench)
    judgement = await bench.steps.find(candidate_id, Step.JUDGE, judgement_version(state["num_edits"]), JUDGEMENT)
    calls = tuple(await asyncio.to_thread(bench.folder.history.calls, candidate_id))
    return Record(
        candidate_id=candidate_id,
        parent_id=state["parent_id"],
        idea=_idea(state, bench, proposal),
        source=await bench.steps.last_source(candidate_id, state.get("version", -1)),
        evaluation=evaluation,
        failure=failure,
        note=proposal.note if isinstance(proposal, Proposal) else "",
        num_debugs=state["num_debugs"],
        num_downscales=state["num_downscales"],
        num_edits=state["num_edits"] + state["idea_edited"],
        choices=bench.choices(state),
        repairs=await _repairs(state, bench),
        duplicate_of=judgement.duplicate_of if judgement else "",
        calls=calls,
        seconds=sum(call.seconds for call in calls) + (evaluation.seconds if evaluation else 0.0),
    )


async def _repairs(state: CandidateState, bench: Bench) -> tuple[Repair, ...]:
    """Every debug by which something was tried, with the failure it was spent on and what came of it."""
    candidate_id, steps, store = state["candidate_id"], bench.steps, bench.folder.history
    repairs: list[Repair] = []
    failure: Failure | None = None
    for version in range(state.get("version", -1) + 1):
        proposal = await steps.find(candidate_id, Step.DEBUG, version, PROPOSAL)
        report = await steps.find(candidate_id, Step.EXECUTE, version, REPORT)
        if proposal is not None and failure is not None:
            num_calls = await asyncio.to_thread(store.num_calls, candidate_id, "debug", version)
            if num_calls or isinstance(proposal, Proposal):
                repairs.append(Repair(failure.kind, version, isinstance(report, CheckReport), num_calls))
        if report is not None:
            failure = report if isinstance(report, Failure) else None
    return tuple(repairs)


async def _outcome(state: CandidateState, bench: Bench) -> tuple[Evaluation | None, Failure | None]:
    if state["failure"]:
        return None, FAILURE.validate_python(state["failure"])
    result = await bench.steps.find(state["candidate_id"], Step.TRAIN, state["version"], EVALUATION)
    if result is None:
        return None, _over_budget(state)
    return (None, result) if isinstance(result, Failure) else (result, None)


def _over_budget(state: CandidateState) -> Failure:
    shares = json.loads(state["calls"][-1].content)["shares"]
    over = ", ".join(f"{name} at {share_text(share)} of its limit" for name, share in shares.items() if share > 1)
    return Failure(Step.DOWNSCALE, FailureKind.BUDGET, f"{over} after {state['num_downscales']} downscales")


def _idea(state: CandidateState, bench: Bench, proposal: Proposal | Failure | None) -> Idea:
    if isinstance(proposal, Proposal) and proposal.idea is not None:
        return proposal.idea
    return bench.idea(state)
