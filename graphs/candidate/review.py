"""A person's hand: ideas and sources wait for approval, an edit or a refusal, in LangGraph Studio or at a terminal.

Every decision is a step that happens once, so that a resumed search asks nothing twice. A decision is ``"approve"``,
``"reject"`` or ``{"edit": "…"}``; the ideas of a wave are shown together and answered by one decision for all, or by
``{candidate id: decision}``, where ids left out are approved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from fairnad.domain import budget
from fairnad.ideas.idea import Idea, IdeaKind, MutationTarget, mutation_targets
from fairnad.ports import Proposal
from fairnad.records.candidate import CandidateId, Failure, FailureKind, Step, plain
from fairnad.search import sampling
from graphs.candidate import step_text as story
from graphs.candidate.state import CandidateInput, CandidateState
from graphs.runtime.steps import PROPOSAL
from graphs.runtime.tagging import reworded, run_tagger

if TYPE_CHECKING:
    from graphs.runtime.run_services import Bench

REVIEW_IDEA = "review idea"


class Edit(TypedDict):
    """The text that takes the place of what was shown."""

    edit: str


Decision = Literal["approve", "reject"] | Edit
DECISION: TypeAdapter[Decision] = TypeAdapter(Decision)
DECISIONS: TypeAdapter[Literal["approve", "reject"] | dict[str, Decision]] = TypeAdapter(
    Literal["approve", "reject"] | dict[str, Decision]
)


async def review_ideas(bench: Bench, wave: Sequence[CandidateInput]) -> list[CandidateInput]:
    """The wave with what a person decided about its ideas.

    Ideas are shown where ``--review ideas`` is set. Those of stage refine are made together with their source and
    cannot be shown before it; the base has none.
    """
    decided: dict[str, Decision] = {}
    for candidate in wave:
        found = await bench.steps.find(candidate["candidate_id"], REVIEW_IDEA, 0, DECISION)
        decided |= {candidate["candidate_id"]: found} if found is not None else {}
    shown = [c for c in wave if c["candidate_id"] not in decided and c["idea"]["text"]]
    if shown and bench.context.review == "ideas":
        answers = _ask_for_ideas(bench, shown)
        await asyncio.to_thread(_note, bench, answers)
        decided |= answers
    return await asyncio.to_thread(_apply, bench, wave, decided)


async def review_candidate(bench: Bench, state: CandidateState, source: str) -> Proposal | Failure:
    """What a person made of a candidate that is about to be trained: its source, another one, or a refusal."""
    candidate_id, version = state["candidate_id"], state["version"]

    async def decide() -> Proposal | Failure:
        decision: Decision = "approve"
        if bench.context.review == "candidates":
            decision = _ask_for_candidate(await _shown(bench, state, source))
        if decision == "approve":
            return Proposal(source, prompt="")
        if decision == "reject":
            return Failure(Step.REVIEW, FailureKind.REVIEW, "a person refused the candidate")
        return Proposal(decision["edit"], prompt="", note="edited by a person")

    return await bench.steps.once(candidate_id, Step.REVIEW, version + 1, PROPOSAL, decide)


def _note(bench: Bench, decisions: Mapping[str, Decision]) -> None:
    for candidate_id, decision in decisions.items():
        bench.folder.history.add_step(candidate_id, REVIEW_IDEA, 0, {"result": decision})


def _ask_for_ideas(bench: Bench, shown: Sequence[CandidateInput]) -> dict[str, Decision]:
    """A decision for each candidate; asked again as long as the answer is none."""
    from langgraph.types import interrupt

    ids = [candidate["candidate_id"] for candidate in shown]
    question: dict[str, Any] = {
        "review": "ideas",
        "ideas": [_shown_idea(bench, candidate) for candidate in shown],
        "answer": 'approve, reject, or {candidate id: approve, reject or {"edit": "another text"}}',
    }
    while True:
        answer = interrupt(question, response_schema=DECISIONS.json_schema())
        try:
            decisions = DECISIONS.validate_python(answer)
            if isinstance(decisions, str):
                return dict.fromkeys(ids, decisions)
            _check(bench, decisions, shown)
            return {candidate_id: decisions.get(candidate_id, "approve") for candidate_id in ids}
        except ValueError as error:
            question = question | {"error": _said(error)}


def _ask_for_candidate(question: dict[str, Any]) -> Decision:
    """The decision about one candidate; asked again as long as the answer is none."""
    from langgraph.types import interrupt

    while True:
        answer = interrupt(question, response_schema=DECISION.json_schema())
        try:
            return DECISION.validate_python(answer)
        except ValidationError as error:
            question = question | {"error": _said(error)}


def _check(bench: Bench, decisions: Mapping[str, Decision], shown: Sequence[CandidateInput]) -> None:
    """Refuse what cannot be applied.

    Raises:
        ValueError: a candidate is not there, or an edited text is no idea.
    """
    known = {candidate["candidate_id"]: candidate for candidate in shown}
    for candidate_id, decision in decisions.items():
        if candidate_id not in known:
            raise ValueError(f"expected candidates of this wave ({', '.join(known)}), found {candidate_id!r}")
        if isinstance(decision, dict):
            replace(bench.idea(known[candidate_id]), text=decision["edit"])
            if not decision["edit"].strip():
                raise ValueError(f"expected an idea in words for {candidate_id}, found none")


def _apply(bench: Bench, wave: Sequence[CandidateInput], decided: Mapping[str, Decision]) -> list[CandidateInput]:
    """The wave after the decisions; those left out are approved."""
    applied: list[CandidateInput] = []
    for candidate in wave:
        decision = decided.get(candidate["candidate_id"], "approve")
        if decision == "approve":
            applied.append(candidate)
        elif decision == "reject":
            applied.append({**candidate, "refused": True})
        else:
            applied.append(_edited(bench, candidate, " ".join(decision["edit"].split())))
    return applied


def _edited(bench: Bench, candidate: CandidateInput, text: str) -> CandidateInput:
    """A candidate with its idea in other words, and what follows from them: their tag, and a target that suits it.

    What was chosen with the old idea in view, lessons and modules on offer, is left out.
    """
    idea = reworded(bench.idea(candidate), text, run_tagger(bench.context, bench.pack))
    target, targets = MutationTarget(candidate["target"]), mutation_targets(idea)
    if target is not MutationTarget.ANY and target not in targets:
        place = CandidateId.parse(candidate["candidate_id"])
        target = sampling.draw(targets, sampling.generator(bench.context.seed, place, "edited idea"))
    choices = replace(bench.choices(candidate), lessons=(), parts=())
    edited: CandidateInput = {**candidate, "idea": plain(idea), "target": str(target), "choices": plain(choices)}
    return {**edited, "idea_edited": True}


def _shown_idea(bench: Bench, candidate: CandidateInput) -> dict[str, str]:
    idea: Idea = bench.idea(candidate)
    return {
        "candidate_id": candidate["candidate_id"],
        "parent_id": candidate["parent_id"],
        "about": str(idea.tag) if idea.tag and idea.kind is IdeaKind.KNOWLEDGE else str(idea.kind),
        "target": candidate["target"],
        "idea": idea.text,
    }


async def _shown(bench: Bench, state: CandidateState, source: str) -> dict[str, Any]:
    report = (await bench.version(state["candidate_id"], state["version"])).report
    assert report is not None, "what is reviewed has run"
    shares = budget.load(report.costs, bench.budgets)
    mutation = await bench.steps.find(state["candidate_id"], Step.MUTATE, 0, PROPOSAL)
    idea = mutation.idea if isinstance(mutation, Proposal) and mutation.idea else bench.idea(state)
    return {
        "review": "candidate",
        "candidate_id": state["candidate_id"],
        "parent_id": state["parent_id"],
        "idea": idea.text,
        "costs": story.costs_text({"costs": report.costs, "shares": shares}),
        "diff": story.diff_text(await bench.source(state["parent_id"]), source),
        "source": source,
        "answer": 'approve, reject or {"edit": "the whole source, changed"}',
    }


def _said(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return f"expected what 'answer' says, found {story.short(repr(error.errors()[0]['input']))}"
    return str(error)
