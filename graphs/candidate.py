"""One candidate: mutate → execute ⇄ debug → measure ⇄ downscale → judge → train → record (paper Algorithm 1)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from fairnad.candidate import Failure, Stage, Step, plain
from fairnad.ports import DebugRequest, DownscaleRequest, JudgeRequest, Proposal, Verdict
from fairnad.settings import RunContext
from graphs.context import current_bench, services
from graphs.recording import make_record
from graphs.state import CandidateInput, CandidateOutput, CandidateState, CandidateUpdate
from graphs.steps import FAILURE, PROPOSAL, VERDICT, VERDICT_VERSION

if TYPE_CHECKING:
    from langgraph.graph.state import StateGraph
    from langgraph.runtime import Runtime


async def mutate(state: CandidateState, runtime: Runtime[RunContext]) -> CandidateUpdate:
    """Carry the idea out on the parent; in stage refine the idea mutator makes the idea as well."""
    bench = await services(runtime.context)
    proposal = await bench.steps.once(state["candidate_id"], Step.MUTATE, 0, PROPOSAL, lambda: bench.propose(state))
    start: CandidateUpdate = {"ran_version": -1, "num_debugs": 0, "num_downscales": 0, "single_use_tried": False}
    return start | _proposed(Step.MUTATE, proposal, 0)


async def execute(state: CandidateState, runtime: Runtime[RunContext]) -> CandidateUpdate:
    """Build the network, run it forward and backward (§4.4, execution verification)."""
    bench = await services(runtime.context)
    report = await bench.check(state["candidate_id"], state["version"])
    if isinstance(report, Failure):
        return {"failure": plain(report), "trace": [f"execute: {report.kind}: {report.message}"]}
    return {
        "failure": None,
        "ran_version": state["version"],
        "calls": [_tool_call("evaluate_budget", state)],
        "trace": ["execute: runs"],
    }


async def debug(state: CandidateState, runtime: Runtime[RunContext]) -> CandidateUpdate:
    """Mend a source that does not run; what comes back is executed again."""
    bench = await services(runtime.context)
    candidate_id, version = state["candidate_id"], state["version"] + 1

    async def mend() -> Proposal | Failure:
        failed = await bench.steps.last_source(candidate_id, state["version"])
        prompt, parent = await bench.prompt(candidate_id), await bench.model(state["parent_id"])
        failure = FAILURE.validate_python(state["failure"])
        return await bench.roles.debugger.debug(
            DebugRequest(bench.errand(candidate_id, version), prompt, failed, failure, parent)
        )

    proposal = await bench.steps.once(candidate_id, Step.DEBUG, version, PROPOSAL, mend)
    update = _retried(Step.DEBUG, proposal, version) | {"num_debugs": state["num_debugs"] + 1}
    if isinstance(proposal, Failure):
        update["failure"] = state["failure"]  # what has to be mended is still the first fault, not the debugger's
    return update


async def downscale(state: CandidateState, runtime: Runtime[RunContext]) -> CandidateUpdate:
    """Make the last source that ran smaller; what comes back is executed and measured again."""
    bench = await services(runtime.context)
    candidate_id, version = state["candidate_id"], state["version"] + 1
    single_use = not state["single_use_tried"] and await bench.wants_single_use(state)

    async def shrink() -> Proposal | Failure:
        oversized = await bench.version(candidate_id, state["ran_version"])
        prompt, parent = await bench.prompt(candidate_id), await bench.model(state["parent_id"])
        way = bench.shrinking_idea(candidate_id, version, single_use=single_use)
        return await bench.roles.downscaler.downscale(
            DownscaleRequest(bench.errand(candidate_id, version), prompt, oversized, parent, single_use, way)
        )

    proposal = await bench.steps.once(candidate_id, Step.DOWNSCALE, version, PROPOSAL, shrink)
    spent: CandidateUpdate = {
        "num_downscales": state["num_downscales"] + 1,
        "single_use_tried": state["single_use_tried"] or single_use,
    }
    return _retried(Step.DOWNSCALE, proposal, version) | spent


async def judge(state: CandidateState, runtime: Runtime[RunContext]) -> CandidateUpdate:
    """Changed, still multi-layer, and not in the history yet (§4.4, structural verification)."""
    bench = await services(runtime.context)
    candidate_id = state["candidate_id"]
    judged = await bench.version(candidate_id, state["version"])
    assert judged.report is not None, "what is judged has run"

    async def ask() -> Verdict | Failure:
        if bench.stage(candidate_id) is Stage.BASE or not bench.context.search.judge_structure:
            return Verdict(changed=True, multi_layer=True)
        request = JudgeRequest(
            bench.errand(candidate_id, state["version"]), judged, await bench.model(state["parent_id"])
        )
        return await bench.roles.structural_judge.judge(request)

    verdict = await bench.steps.once(candidate_id, Step.JUDGE, VERDICT_VERSION, VERDICT, ask)
    judgement = await bench.steps.judge_in_turn(candidate_id, state["earlier"], verdict, judged.report.fingerprint)
    if judgement.failure is not None:
        return {"failure": plain(judgement.failure), "trace": [f"judge: {judgement.failure.message}"]}
    return {"calls": [_tool_call("train_candidate", state)], "trace": ["judge: a new architecture"]}


async def record(state: CandidateState, runtime: Runtime[RunContext]) -> CandidateUpdate:
    """Exactly one record, whatever happened (Equation 1)."""
    bench = await services(runtime.context)
    made = await make_record(state, bench)
    await bench.add_record(made)
    runtime.stream_writer({"recorded": made.candidate_id})
    return {"recorded": [made.candidate_id]}


def route_proposed(state: CandidateState) -> Literal["execute", "record"]:
    """A mutation without a source is out."""
    return "record" if state["failure"] else "execute"


def route_executed(state: CandidateState) -> Literal["measure", "debug", "downscale", "record"]:
    """Debug while there are debugs left; a downscale that broke a running source falls back to that source."""
    if state["failure"] is None:
        return "measure"
    return "debug" if state["num_debugs"] < state["max_debugs"] else _downscale_if_it_ran(state)


def route_debugged(state: CandidateState) -> Literal["execute", "debug", "downscale", "record"]:
    """Each debug is followed by its check."""
    if state["failure"] is None:
        return "execute"
    return "debug" if state["num_debugs"] < state["max_debugs"] else _downscale_if_it_ran(state)


def route_measured(state: CandidateState) -> Literal["judge", "downscale", "record"]:
    """Within all limits (≤ τ), or smaller while there are downscales left."""
    if not reply(state)["over"]:
        return "judge"
    return _downscale_if_it_ran(state)


def route_downscaled(state: CandidateState) -> Literal["execute", "downscale", "record"]:
    """Each downscale is followed by its check."""
    return "execute" if state["failure"] is None else _downscale_if_it_ran(state)


def route_judged(state: CandidateState) -> Literal["train", "record"]:
    """Only what passed all three verifications is trained."""
    return "record" if state["failure"] else "train"


def _downscale_if_it_ran(state: CandidateState) -> Literal["downscale", "record"]:
    can_shrink = state["ran_version"] >= 0 and state["num_downscales"] < state["max_downscales"]
    return "downscale" if can_shrink else "record"


def _proposed(step: Step, proposal: Proposal | Failure, version: int) -> CandidateUpdate:
    if isinstance(proposal, Failure):
        return {"failure": plain(proposal), "trace": [f"{step}: {proposal.kind}: {proposal.message}"]}
    note = proposal.note or f"{len(proposal.source.splitlines())} lines"
    return {"failure": None, "version": version, "trace": [f"{step}: {note}"]}


def _retried(step: Step, proposal: Proposal | Failure, version: int) -> CandidateUpdate:
    """A retry uses its version up, also when it brings no source, so that the next one is a step of its own."""
    return _proposed(step, proposal, version) | {"version": version}


def _tool_call(name: str, state: CandidateState) -> Any:
    from langchain_core.messages import AIMessage

    arguments = {"candidate_id": state["candidate_id"], "version": state["version"]}
    call_id = f"{name}-{state['candidate_id']}-v{state['version']}"
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": call_id}])


def reply(state: CandidateState) -> Mapping[str, Any]:
    """What the last tool node answered."""
    answer: Mapping[str, Any] = json.loads(state["calls"][-1].content)
    return answer


def build() -> StateGraph[CandidateState, RunContext, CandidateInput, CandidateOutput]:
    """The graph of one candidate; ``measure`` and ``train`` are tool nodes."""
    from langgraph.graph import END, START, StateGraph
    from langgraph.prebuilt import ToolNode

    from tools.toolbox import make_tools

    evaluate_budget, train_candidate = make_tools(current_bench)
    graph = StateGraph(
        CandidateState, context_schema=RunContext, input_schema=CandidateInput, output_schema=CandidateOutput
    )
    for node in (mutate, execute, debug, downscale, judge, record):
        graph.add_node(node)
    graph.add_node("measure", ToolNode([evaluate_budget], messages_key="calls", handle_tool_errors=False))
    graph.add_node("train", ToolNode([train_candidate], messages_key="calls", handle_tool_errors=False))
    graph.add_edge(START, "mutate")
    graph.add_conditional_edges("mutate", route_proposed)
    graph.add_conditional_edges("execute", route_executed)
    graph.add_conditional_edges("debug", route_debugged)
    graph.add_conditional_edges("measure", route_measured)
    graph.add_conditional_edges("downscale", route_downscaled)
    graph.add_conditional_edges("judge", route_judged)
    graph.add_edge("train", "record")
    graph.add_edge("record", END)
    return graph
