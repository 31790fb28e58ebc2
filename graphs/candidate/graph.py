"""One candidate: mutate → execute ⇄ debug → measure ⇄ downscale → judge → train → record (paper Algorithm 1).

With ``--review candidates`` a reviewer decides between judge and train; an edited source is executed again. A
LangGraph server also offers the graph for single ideas: :mod:`graphs.candidate.single_idea`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from fairnad.ports import DebugRequest, DownscaleRequest, JudgeRequest, Proposal, Verdict
from fairnad.records.candidate import Failure, Stage, Step, plain
from fairnad.settings.search_settings import RunContext
from graphs.candidate import step_text as story
from graphs.candidate.recording import make_record
from graphs.candidate.review import review_candidate
from graphs.candidate.state import CandidateInput, CandidateOutput, CandidateState, CandidateUpdate
from graphs.candidate.work import open_work
from graphs.runtime.registry import current_services
from graphs.runtime.steps import FAILURE, PROPOSAL, VERDICT, verdict_version

if TYPE_CHECKING:
    from langgraph.graph.state import StateGraph
    from langgraph.runtime import Runtime

Discard = Literal["give up"]
Shrink = Literal["larger version ran", "give up"]

Routes = dict[Hashable, str]
"""The labels of a node's outgoing edges, with their targets."""

AFTER_MUTATE: Routes = {"new source": "execute", "no source": "record"}
AFTER_EXECUTE: Routes = {"runs": "measure", "fails": "debug", "larger version ran": "downscale", "give up": "record"}
AFTER_DEBUG: Routes = {
    "new source": "execute",
    "no source": "debug",
    "larger version ran": "downscale",
    "give up": "record",
}
AFTER_MEASURE: Routes = {"within budget": "judge", "over budget": "downscale", "give up": "record"}
AFTER_DOWNSCALE: Routes = {"new source": "execute", "no source": "downscale", "give up": "record"}
AFTER_JUDGE: Routes = {"new architecture": "train", "for review": "review", "refused": "record"}
AFTER_REVIEW: Routes = {"approved": "train", "edited": "execute", "refused": "record"}


async def mutate(state: CandidateState, runtime: Runtime[RunContext]) -> CandidateUpdate:
    """Apply the idea to the parent; in stage refine the idea mutator also creates the idea."""
    work = await open_work(state, runtime)
    run, is_base = work.run, work.stage is Stage.BASE
    proposal = await run.steps.once(state["candidate_id"], Step.MUTATE, 0, PROPOSAL, work.propose)
    start: CandidateUpdate = {
        "ran_version": -1,
        "num_debugs": 0,
        "num_downscales": 0,
        "max_debugs": 0 if is_base else run.context.search.max_debugs,
        "max_downscales": run.context.search.max_downscales,
        "resample": list(work.draw.choices.resample),
        "single_use_tried": False,
        "is_reviewed": run.context.review == "candidates" and not is_base,
        "num_edits": 0,
        "reviewed_version": -1,
    }
    return start | _describe(Step.MUTATE, proposal, 0, await run.source(work.draw.slot.parent_id))


async def execute(state: CandidateState, runtime: Runtime[RunContext]) -> CandidateUpdate:
    """Build the network, run it forward and backward (§4.4, execution verification)."""
    run = (await open_work(state, runtime)).run
    report = await run.check(state["candidate_id"], state["version"])
    if isinstance(report, Failure):
        return {"failure": plain(report), "trace": [story.failure_text(report)]}
    return {
        "failure": None,
        "ran_version": state["version"],
        "calls": [_tool_call("evaluate_budget", state)],
        "trace": [story.short("; ".join(["execute: it runs", *map(str, report.findings)]))],
    }


async def debug(state: CandidateState, runtime: Runtime[RunContext]) -> CandidateUpdate:
    """Repair a source that does not run; the result is executed again."""
    work = await open_work(state, runtime)
    version = state["version"] + 1
    failed = await work.run.steps.last_source(state["candidate_id"], state["version"])

    async def repair() -> Proposal | Failure:
        failure, parent = FAILURE.validate_python(state["failure"]), await work.parent()
        request = DebugRequest(work.call_context(version), await work.prompt(), failed, failure, parent)
        return await work.run.roles.debugger.debug(request)

    proposal = await work.run.steps.once(state["candidate_id"], Step.DEBUG, version, PROPOSAL, repair)
    update = _describe_retry(Step.DEBUG, proposal, version, failed) | {"num_debugs": state["num_debugs"] + 1}
    if isinstance(proposal, Failure):
        update["failure"] = state["failure"]  # the next debug repairs the first fault, not the debugger's
    return update


async def downscale(state: CandidateState, runtime: Runtime[RunContext]) -> CandidateUpdate:
    """Reduce the last source that ran; the result is executed and measured again."""
    work = await open_work(state, runtime)
    version = state["version"] + 1
    oversized = await work.run.version(state["candidate_id"], state["ran_version"])
    single_use = not state["single_use_tried"] and await work.wants_single_use(oversized)

    async def shrink() -> Proposal | Failure:
        prompt, parent = await work.prompt(), await work.parent()
        way, context = work.shrinking_idea(version, single_use=single_use), work.call_context(version)
        request = DownscaleRequest(context, prompt, oversized, parent, single_use, way, state["num_downscales"])
        return await work.run.roles.downscaler.downscale(request)

    proposal = await work.run.steps.once(state["candidate_id"], Step.DOWNSCALE, version, PROPOSAL, shrink)
    spent: CandidateUpdate = {
        "num_downscales": state["num_downscales"] + 1,
        "single_use_tried": state["single_use_tried"] or single_use,
    }
    return _describe_retry(Step.DOWNSCALE, proposal, version, oversized.source) | spent


async def judge(state: CandidateState, runtime: Runtime[RunContext]) -> CandidateUpdate:
    """Check that the network has changed, is multi-layer, and is not in the history (§4.4, structural verification)."""
    work = await open_work(state, runtime)
    run, candidate_id, num_edits = work.run, state["candidate_id"], state["num_edits"]
    judged = await run.version(candidate_id, state["version"])
    assert judged.report is not None, "a judged source has run"

    async def ask() -> Verdict | Failure:
        if work.stage is Stage.BASE or "judge" in run.context.search.ablate:
            return Verdict(changed=True, multi_layer=True)
        request = JudgeRequest(work.call_context(state["version"]), judged, await work.parent())
        return await run.roles.structural_judge.judge(request)

    verdict = await run.steps.once(candidate_id, Step.JUDGE, verdict_version(num_edits), VERDICT, ask)
    fingerprint, earlier = judged.report.fingerprint, work.draw.earlier
    judgement = await run.steps.judge_in_turn(candidate_id, earlier, verdict, fingerprint, num_edits)
    if judgement.failure is not None:
        line = f"judge: {judgement.failure.kind}: {judgement.failure.message}"
        return {"failure": plain(judgement.failure), "trace": [story.short(line)]}
    return {"calls": [_tool_call("train_candidate", state)], "trace": ["judge: a new architecture"]}


async def review(state: CandidateState, runtime: Runtime[RunContext]) -> CandidateUpdate:
    """Let a reviewer approve the candidate, edit its source, or reject it."""
    work = await open_work(state, runtime)
    version = state["version"]
    judged = await work.run.steps.last_source(state["candidate_id"], version)
    decided = await review_candidate(work, version, judged)
    if isinstance(decided, Failure):
        return {"failure": plain(decided), "trace": [f"review: {decided.message}"]}
    if decided.source == judged:
        return {"reviewed_version": version, "trace": ["review: approved"]}
    edited: CandidateUpdate = {"reviewed_version": version + 1, "num_edits": state["num_edits"] + 1}
    return _describe(Step.REVIEW, decided, version + 1, judged) | edited


async def record(state: CandidateState, runtime: Runtime[RunContext]) -> CandidateUpdate:
    """Write exactly one record, trained or discarded (Equation 1)."""
    work = await open_work(state, runtime)
    await work.run.add_record(await make_record(state, work))
    runtime.stream_writer({"recorded": state["candidate_id"]})
    return {"recorded": [state["candidate_id"]]}


def route_mutated(state: CandidateState) -> Literal["new source", "no source"]:
    """Discard a mutation without a source."""
    return "no source" if state["failure"] else "new source"


def route_executed(state: CandidateState) -> Literal["runs", "fails"] | Shrink:
    """Debug while debugs are left; if a downscale broke a running source, fall back to that source.

    The first debug runs even if resampling is better, because built-in repairs need no call.
    """
    if state["failure"] is None:
        return "runs"
    is_given_up = state["num_debugs"] > 0 and _is_resampled(state)
    return "fails" if state["num_debugs"] < state["max_debugs"] and not is_given_up else _shrink_or_give_up(state)


def route_debugged(state: CandidateState) -> Literal["new source", "no source"] | Shrink:
    """Execute the new source. Without a source, debug again, unless resampling is better."""
    if state["failure"] is None:
        return "new source"
    can_debug = state["num_debugs"] < state["max_debugs"] and not _is_resampled(state)
    return "no source" if can_debug else _shrink_or_give_up(state)


def route_measured(state: CandidateState) -> Literal["within budget", "over budget"] | Discard:
    """Judge a candidate within all limits (≤ τ); otherwise downscale while downscales are left."""
    if not reply(state)["over"]:
        return "within budget"
    return "over budget" if _can_shrink(state) else "give up"


def route_downscaled(state: CandidateState) -> Literal["new source", "no source"] | Discard:
    """Execute the new source; without a source, downscale again."""
    if state["failure"] is None:
        return "new source"
    return "no source" if _can_shrink(state) else "give up"


def route_judged(state: CandidateState) -> Literal["new architecture", "for review", "refused"]:
    """Train a candidate that passed all three verifications, after its review if candidates are reviewed."""
    if state["failure"]:
        return "refused"
    is_waiting = state["is_reviewed"] and state["reviewed_version"] != state["version"]
    return "for review" if is_waiting else "new architecture"


def route_reviewed(state: CandidateState) -> Literal["approved", "edited", "refused"]:
    """Execute a source that a reviewer edited."""
    if state["failure"]:
        return "refused"
    return "edited" if state["version"] > state["ran_version"] else "approved"


def _is_resampled(state: CandidateState) -> bool:
    """Whether the draw decided to resample, not repair, after failures of this kind."""
    return state["failure"] is not None and state["failure"]["kind"] in state["resample"]


def _can_shrink(state: CandidateState) -> bool:
    return state["ran_version"] >= 0 and state["num_downscales"] < state["max_downscales"]


def _shrink_or_give_up(state: CandidateState) -> Shrink:
    return "larger version ran" if _can_shrink(state) else "give up"


def _describe(step: Step, proposal: Proposal | Failure, version: int, before: str) -> CandidateUpdate:
    """The update for a new source, made from ``before``."""
    if isinstance(proposal, Failure):
        line = story.short(f"{step}: {proposal.kind}: {proposal.message}")
        return {"failure": plain(proposal), "trace": [line], "diff": ""}
    line = story.proposal_text(step, proposal, before)
    return {"failure": None, "version": version, "trace": [line], "diff": story.diff_text(before, proposal.source)}


def _describe_retry(step: Step, proposal: Proposal | Failure, version: int, before: str) -> CandidateUpdate:
    """The update for a retry, which uses its version even without a source."""
    return _describe(step, proposal, version, before) | {"version": version}


def _tool_call(name: str, state: CandidateState) -> Any:
    from langchain_core.messages import AIMessage

    arguments = {"candidate_id": state["candidate_id"], "version": state["version"]}
    call_id = f"{name}-{state['candidate_id']}-v{state['version']}"
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": call_id}])


def reply(state: CandidateState) -> Mapping[str, Any]:
    """The reply of the last tool node."""
    answer: Mapping[str, Any] = json.loads(state["calls"][-1].content)
    return answer


def _trace_reply(step: Step, describe: Callable[[Mapping[str, Any]], str], update: dict[str, Any]) -> dict[str, Any]:
    """The update with the reply of a tool node, and a line about it in the trace."""
    return update | {"trace": [f"{step}: {describe(json.loads(update['calls'][-1].content))}"]}


def build() -> StateGraph[CandidateState, RunContext, CandidateInput, CandidateOutput]:
    """The graph of one candidate."""
    from langgraph.graph import START, StateGraph

    graph = StateGraph(
        CandidateState, context_schema=RunContext, input_schema=CandidateInput, output_schema=CandidateOutput
    )
    add_steps(graph)
    graph.add_edge(START, "mutate")
    return graph


def add_steps(graph: StateGraph[CandidateState, RunContext, Any, CandidateOutput]) -> None:
    """Add all nodes from ``mutate`` on, with their edges; ``measure`` and ``train`` are tool nodes."""
    from langchain_core.runnables import RunnableLambda
    from langgraph.graph import END
    from langgraph.prebuilt import ToolNode

    from tools.toolbox import make_tools

    evaluate_budget, train_candidate = make_tools(current_services)
    for node in (mutate, execute, debug, downscale, judge, review, record):
        graph.add_node(node)
    tools = ((Step.MEASURE, evaluate_budget, story.costs_text), (Step.TRAIN, train_candidate, story.training_text))
    for step, tool, describe in tools:
        call = ToolNode([tool], messages_key="calls", handle_tool_errors=False)
        traced_call = call | RunnableLambda(functools.partial(_trace_reply, step, describe))
        graph.add_node(str(step), traced_call, metadata={"tool": tool.name})
    graph.add_conditional_edges("mutate", route_mutated, AFTER_MUTATE)
    graph.add_conditional_edges("execute", route_executed, AFTER_EXECUTE)
    graph.add_conditional_edges("debug", route_debugged, AFTER_DEBUG)
    graph.add_conditional_edges("measure", route_measured, AFTER_MEASURE)
    graph.add_conditional_edges("downscale", route_downscaled, AFTER_DOWNSCALE)
    graph.add_conditional_edges("judge", route_judged, AFTER_JUDGE)
    graph.add_conditional_edges("review", route_reviewed, AFTER_REVIEW)
    graph.add_edge("train", "record")
    graph.add_edge("record", END)
