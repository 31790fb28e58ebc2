"""One candidate: mutate → execute ⇄ debug → measure ⇄ downscale → judge → train → record (paper Algorithm 1).

With ``--review candidates`` a person stands between judge and train; what they change is executed again. By itself
the graph is served in :mod:`graphs.candidate.single_idea`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from fairnad.ports import DebugRequest, DownscaleRequest, JudgeRequest, Proposal, Verdict
from fairnad.records.candidate import Failure, Stage, Step, plain
from fairnad.settings.search_settings import RunContext
from graphs.candidate import step_text as story
from graphs.candidate.recording import make_record
from graphs.candidate.review import review_candidate
from graphs.candidate.state import CandidateInput, CandidateOutput, CandidateState, CandidateUpdate
from graphs.runtime.registry import current_bench, services
from graphs.runtime.steps import FAILURE, PROPOSAL, VERDICT, verdict_version

if TYPE_CHECKING:
    from langgraph.graph.state import StateGraph
    from langgraph.runtime import Runtime


async def mutate(state: CandidateState, runtime: Runtime[RunContext]) -> CandidateUpdate:
    """Carry the idea out on the parent; in stage refine the idea mutator makes the idea as well."""
    bench = await services(runtime.context)
    await bench.refuse_another(state)
    proposal = await bench.steps.once(state["candidate_id"], Step.MUTATE, 0, PROPOSAL, lambda: bench.propose(state))
    start: CandidateUpdate = {
        "ran_version": -1,
        "num_debugs": 0,
        "num_downscales": 0,
        "single_use_tried": False,
        "num_edits": 0,
        "reviewed_version": -1,
    }
    return start | _proposed(Step.MUTATE, proposal, 0, await bench.source(state["parent_id"]))


async def execute(state: CandidateState, runtime: Runtime[RunContext]) -> CandidateUpdate:
    """Build the network, run it forward and backward (§4.4, execution verification)."""
    bench = await services(runtime.context)
    report = await bench.check(state["candidate_id"], state["version"])
    if isinstance(report, Failure):
        return {"failure": plain(report), "trace": [story.failure_text(report)]}
    return {
        "failure": None,
        "ran_version": state["version"],
        "calls": [_tool_call("evaluate_budget", state)],
        "trace": [story.short("; ".join(["execute: it runs", *map(str, report.findings)]))],
    }


async def debug(state: CandidateState, runtime: Runtime[RunContext]) -> CandidateUpdate:
    """Mend a source that does not run; what comes back is executed again."""
    bench = await services(runtime.context)
    candidate_id, version = state["candidate_id"], state["version"] + 1
    failed = await bench.steps.last_source(candidate_id, state["version"])

    async def mend() -> Proposal | Failure:
        prompt, parent = await bench.prompt(candidate_id), await bench.model(state["parent_id"])
        failure = FAILURE.validate_python(state["failure"])
        return await bench.roles.debugger.debug(
            DebugRequest(bench.errand(state, version), prompt, failed, failure, parent)
        )

    proposal = await bench.steps.once(candidate_id, Step.DEBUG, version, PROPOSAL, mend)
    update = _retried(Step.DEBUG, proposal, version, failed) | {"num_debugs": state["num_debugs"] + 1}
    if isinstance(proposal, Failure):
        update["failure"] = state["failure"]  # what has to be mended is still the first fault, not the debugger's
    return update


async def downscale(state: CandidateState, runtime: Runtime[RunContext]) -> CandidateUpdate:
    """Make the last source that ran smaller; what comes back is executed and measured again."""
    bench = await services(runtime.context)
    candidate_id, version = state["candidate_id"], state["version"] + 1
    single_use = not state["single_use_tried"] and await bench.wants_single_use(state)
    oversized = await bench.version(candidate_id, state["ran_version"])

    async def shrink() -> Proposal | Failure:
        prompt, parent = await bench.prompt(candidate_id), await bench.model(state["parent_id"])
        way = bench.shrinking_idea(candidate_id, version, single_use=single_use)
        errand, num_earlier = bench.errand(state, version), state["num_downscales"]
        return await bench.roles.downscaler.downscale(
            DownscaleRequest(errand, prompt, oversized, parent, single_use, way, num_earlier)
        )

    proposal = await bench.steps.once(candidate_id, Step.DOWNSCALE, version, PROPOSAL, shrink)
    spent: CandidateUpdate = {
        "num_downscales": state["num_downscales"] + 1,
        "single_use_tried": state["single_use_tried"] or single_use,
    }
    return _retried(Step.DOWNSCALE, proposal, version, oversized.source) | spent


async def judge(state: CandidateState, runtime: Runtime[RunContext]) -> CandidateUpdate:
    """Changed, still multi-layer, and not in the history yet (§4.4, structural verification)."""
    bench = await services(runtime.context)
    candidate_id, num_edits = state["candidate_id"], state["num_edits"]
    judged = await bench.version(candidate_id, state["version"])
    assert judged.report is not None, "what is judged has run"

    async def ask() -> Verdict | Failure:
        if bench.stage(candidate_id) is Stage.BASE or not bench.context.search.judge_structure:
            return Verdict(changed=True, multi_layer=True)
        request = JudgeRequest(bench.errand(state, state["version"]), judged, await bench.model(state["parent_id"]))
        return await bench.roles.structural_judge.judge(request)

    verdict = await bench.steps.once(candidate_id, Step.JUDGE, verdict_version(num_edits), VERDICT, ask)
    judgement = await bench.steps.judge_in_turn(
        candidate_id, state["earlier"], verdict, judged.report.fingerprint, num_edits
    )
    if judgement.failure is not None:
        told = f"judge: {judgement.failure.kind}: {judgement.failure.message}"
        return {"failure": plain(judgement.failure), "trace": [story.short(told)]}
    return {"calls": [_tool_call("train_candidate", state)], "trace": ["judge: a new architecture"]}


async def review(state: CandidateState, runtime: Runtime[RunContext]) -> CandidateUpdate:
    """Let a person approve the candidate, change its source, or refuse it."""
    bench = await services(runtime.context)
    version = state["version"]
    judged = await bench.steps.last_source(state["candidate_id"], version)
    decided = await review_candidate(bench, state, judged)
    if isinstance(decided, Failure):
        return {"failure": plain(decided), "trace": [f"review: {decided.message}"]}
    if decided.source == judged:
        return {"reviewed_version": version, "trace": ["review: approved"]}
    edited: CandidateUpdate = {"reviewed_version": version + 1, "num_edits": state["num_edits"] + 1}
    return _proposed(Step.REVIEW, decided, version + 1, judged) | edited


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
    """Debug while there are debugs left; a downscale that broke a running source falls back to that source.

    The first debug comes also where a fresh draw is better than a repair: known repairs need no call.
    """
    if state["failure"] is None:
        return "measure"
    given_up = state["num_debugs"] > 0 and _is_resampled(state)
    return "debug" if state["num_debugs"] < state["max_debugs"] and not given_up else _downscale_if_it_ran(state)


def route_debugged(state: CandidateState) -> Literal["execute", "debug", "downscale", "record"]:
    """Each debug is followed by its check; without a source, what is better drawn anew is not debugged again."""
    if state["failure"] is None:
        return "execute"
    can_debug = state["num_debugs"] < state["max_debugs"] and not _is_resampled(state)
    return "debug" if can_debug else _downscale_if_it_ran(state)


def route_measured(state: CandidateState) -> Literal["judge", "downscale", "record"]:
    """Within all limits (≤ τ), or smaller while there are downscales left."""
    if not reply(state)["over"]:
        return "judge"
    return _downscale_if_it_ran(state)


def route_downscaled(state: CandidateState) -> Literal["execute", "downscale", "record"]:
    """Each downscale is followed by its check."""
    return "execute" if state["failure"] is None else _downscale_if_it_ran(state)


def route_judged(state: CandidateState) -> Literal["review", "train", "record"]:
    """Only what passed all three verifications is trained, and what a person wants to see first is reviewed."""
    if state["failure"]:
        return "record"
    return "review" if state["review"] and state["reviewed_version"] != state["version"] else "train"


def route_reviewed(state: CandidateState) -> Literal["execute", "train", "record"]:
    """What a person wrote has not run yet."""
    if state["failure"]:
        return "record"
    return "execute" if state["version"] > state["ran_version"] else "train"


def _is_resampled(state: CandidateState) -> bool:
    """Whether it was chosen at the draw that failures of this kind are drawn anew rather than repaired."""
    return state["failure"] is not None and state["failure"]["kind"] in state["choices"]["resample"]


def _downscale_if_it_ran(state: CandidateState) -> Literal["downscale", "record"]:
    can_shrink = state["ran_version"] >= 0 and state["num_downscales"] < state["max_downscales"]
    return "downscale" if can_shrink else "record"


def _proposed(step: Step, proposal: Proposal | Failure, version: int, before: str) -> CandidateUpdate:
    """What a source brings into the state; ``before`` is the source it was made from."""
    if isinstance(proposal, Failure):
        told = story.short(f"{step}: {proposal.kind}: {proposal.message}")
        return {"failure": plain(proposal), "trace": [told], "diff": ""}
    told = story.proposal_text(step, proposal, before)
    return {"failure": None, "version": version, "trace": [told], "diff": story.diff_text(before, proposal.source)}


def _retried(step: Step, proposal: Proposal | Failure, version: int, before: str) -> CandidateUpdate:
    """A retry uses its version up, also when it brings no source, so that the next one is a step of its own."""
    return _proposed(step, proposal, version, before) | {"version": version}


def _tool_call(name: str, state: CandidateState) -> Any:
    from langchain_core.messages import AIMessage

    arguments = {"candidate_id": state["candidate_id"], "version": state["version"]}
    call_id = f"{name}-{state['candidate_id']}-v{state['version']}"
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": call_id}])


def reply(state: CandidateState) -> Mapping[str, Any]:
    """What the last tool node answered."""
    answer: Mapping[str, Any] = json.loads(state["calls"][-1].content)
    return answer


def _told(step: Step, told: Callable[[Mapping[str, Any]], str], update: dict[str, Any]) -> dict[str, Any]:
    """The answer of a tool node with a line about it in the trace."""
    return update | {"trace": [f"{step}: {told(json.loads(update['calls'][-1].content))}"]}


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
    """Add all steps from ``mutate`` on, with their arrows; ``measure`` and ``train`` are tool nodes."""
    from langchain_core.runnables import RunnableLambda
    from langgraph.graph import END
    from langgraph.prebuilt import ToolNode

    from tools.toolbox import make_tools

    evaluate_budget, train_candidate = make_tools(current_bench)
    for node in (mutate, execute, debug, downscale, judge, review, record):
        graph.add_node(node)
    tools = ((Step.MEASURE, evaluate_budget, story.costs_text), (Step.TRAIN, train_candidate, story.training_text))
    for step, tool, told in tools:
        call = ToolNode([tool], messages_key="calls", handle_tool_errors=False)
        told_call = call | RunnableLambda(functools.partial(_told, step, told))
        graph.add_node(str(step), told_call, metadata={"tool": tool.name})
    graph.add_conditional_edges("mutate", route_proposed)
    graph.add_conditional_edges("execute", route_executed)
    graph.add_conditional_edges("debug", route_debugged)
    graph.add_conditional_edges("measure", route_measured)
    graph.add_conditional_edges("downscale", route_downscaled)
    graph.add_conditional_edges("judge", route_judged)
    graph.add_conditional_edges("review", route_reviewed)
    graph.add_edge("train", "record")
    graph.add_edge("record", END)
