"""Human review: ideas and sources wait for approval, edit or rejection, in LangGraph Studio or at a terminal.

A decision is ``"approve"``, ``"reject"`` or ``{"edit": "…"}``. The ideas of a wave are shown together and answered by
one decision for all, or by ``{candidate id: decision}``; ids left out are approved. Each decision is a stored step, so
a resumed search asks nothing twice.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from fairnad.domain import budget
from fairnad.errors import RunFolderError
from fairnad.ideas.idea import IdeaKind, MutationTarget, mutation_targets
from fairnad.ports import Proposal
from fairnad.records.candidate import Failure, FailureKind, Step
from fairnad.search import sampling
from fairnad.search.draws import Draw
from graphs.candidate import step_text as story
from graphs.runtime.steps import PROPOSAL, REVIEW_IDEA
from graphs.runtime.tagging import reword, run_tagger

if TYPE_CHECKING:
    from graphs.candidate.work import Work
    from graphs.runtime.run_services import RunServices


class Edit(TypedDict):
    """The replacement for the shown text."""

    edit: str


Decision = Literal["approve", "reject"] | Edit
DECISION: TypeAdapter[Decision] = TypeAdapter(Decision)
DECISIONS: TypeAdapter[Literal["approve", "reject"] | dict[str, Decision]] = TypeAdapter(
    Literal["approve", "reject"] | dict[str, Decision]
)


async def review_ideas(run: RunServices, draws: Sequence[Draw], texts: Mapping[str, str]) -> list[Draw]:
    """The draws of a wave after review; changed and refused ones are stored.

    With ``--review ideas`` a reviewer decides. Ideas of stage refine are created together with their source and cannot
    be reviewed earlier; the base has no idea.

    Args:
        texts: the ideas in the state of the search, by candidate id; a text that was changed there counts as an edit.

    Raises:
        RunFolderError: the idea of a recorded candidate was changed in the state.
    """
    decided: dict[str, Decision] = {}
    for draw in draws:
        found = await run.steps.find(draw.candidate_id, REVIEW_IDEA, 0, DECISION)
        if found is not None:
            decided[draw.candidate_id] = found
        elif draw.idea.text and texts.get(draw.candidate_id, draw.idea.text) != draw.idea.text:
            await asyncio.to_thread(refuse_if_recorded, run, draw.candidate_id, texts[draw.candidate_id])
            decided[draw.candidate_id] = {"edit": texts[draw.candidate_id]}
    shown = [draw for draw in draws if draw.candidate_id not in decided and draw.idea.text]
    if shown and run.context.review == "ideas":
        answers = _ask_for_ideas(shown)
        await asyncio.to_thread(_store, run, answers)
        decided |= answers
    return await asyncio.to_thread(_apply, run, draws, decided)


async def review_candidate(work: Work, version: int, source: str) -> Proposal | Failure:
    """The source of a candidate after review, right before training; a failure if the reviewer rejects it."""

    async def decide() -> Proposal | Failure:
        decision: Decision = "approve"
        if work.run.context.review == "candidates":
            decision = _ask_for_candidate(await _describe_candidate(work, version, source))
        if decision == "approve":
            return Proposal(source, prompt="")
        if decision == "reject":
            return Failure(Step.REVIEW, FailureKind.REVIEW, "a person refused the candidate")
        return Proposal(decision["edit"], prompt="", note="edited by a person")

    return await work.run.steps.once(work.draw.candidate_id, Step.REVIEW, version + 1, PROPOSAL, decide)


def refuse_if_recorded(run: RunServices, candidate_id: str, idea: str) -> None:
    """Refuse to change the idea or parent of a recorded candidate.

    Raises:
        RunFolderError: the candidate is recorded, with another idea.
    """
    record = run.folder.history.find_record(candidate_id)
    if record is not None and record.idea.text != idea:
        raise RunFolderError(
            f"{candidate_id} is recorded in {run.folder.path} with another parent or idea; to change earlier steps, "
            "fork the run into a new folder: "
            f"`python -m graphs.search fork {shlex.quote(f'{run.context.run_name}@CHECKPOINT')} NEW`"
        )


def _store(run: RunServices, decisions: Mapping[str, Decision]) -> None:
    for candidate_id, decision in decisions.items():
        run.folder.history.add_step(candidate_id, REVIEW_IDEA, 0, {"result": decision})


def _ask_for_ideas(shown: Sequence[Draw]) -> dict[str, Decision]:
    """Ask for a decision on each draw until the answer is valid."""
    from langgraph.types import interrupt

    ids = [draw.candidate_id for draw in shown]
    question: dict[str, Any] = {
        "review": "ideas",
        "ideas": [_describe_idea(draw) for draw in shown],
        "answer": 'approve, reject, or {candidate id: approve, reject or {"edit": "another text"}}',
    }
    while True:
        answer = interrupt(question, response_schema=DECISIONS.json_schema())
        try:
            decisions = DECISIONS.validate_python(answer)
            if isinstance(decisions, str):
                return dict.fromkeys(ids, decisions)
            _check(decisions, shown)
            return {candidate_id: decisions.get(candidate_id, "approve") for candidate_id in ids}
        except ValueError as error:
            question = question | {"error": _describe_error(error)}


def _ask_for_candidate(question: dict[str, Any]) -> Decision:
    """Ask for the decision on one candidate until the answer is valid."""
    from langgraph.types import interrupt

    while True:
        answer = interrupt(question, response_schema=DECISION.json_schema())
        try:
            return DECISION.validate_python(answer)
        except ValidationError as error:
            question = question | {"error": _describe_error(error)}


def _check(decisions: Mapping[str, Decision], shown: Sequence[Draw]) -> None:
    """Check that decisions can be applied.

    Raises:
        ValueError: a candidate is unknown, or an edited text is empty or too long.
    """
    known = {draw.candidate_id: draw for draw in shown}
    for candidate_id, decision in decisions.items():
        if candidate_id not in known:
            raise ValueError(f"expected candidates of this wave ({', '.join(known)}), found {candidate_id!r}")
        if isinstance(decision, dict):
            replace(known[candidate_id].idea, text=decision["edit"])
            if not decision["edit"].strip():
                raise ValueError(f"expected an idea in words for {candidate_id}, found none")


def _apply(run: RunServices, draws: Sequence[Draw], decided: Mapping[str, Decision]) -> list[Draw]:
    applied = []
    for draw in draws:
        decision = decided.get(draw.candidate_id, "approve")
        if decision == "reject":
            draw = replace(draw, refused=True)
        elif decision != "approve":
            draw = _reword(run, draw, " ".join(decision["edit"].split()))
        if decision != "approve":
            run.draws.change(draw)
        applied.append(draw)
    return applied


def _reword(run: RunServices, draw: Draw, text: str) -> Draw:
    """A draw with an edited idea, its new tag, and a suitable target.

    Lessons and modules were chosen for the old idea and are removed.
    """
    idea = reword(draw.idea, text, run_tagger(run.context, run.pack))
    target, targets = draw.target, mutation_targets(idea)
    if target is not MutationTarget.ANY and target not in targets:
        target = sampling.draw(targets, sampling.generator(run.context.seed, draw.slot.place, "edited idea"))
    choices = replace(draw.choices, lessons=(), parts=())
    return replace(draw, idea=idea, target=target, choices=choices, idea_edited=True)


def _describe_idea(draw: Draw) -> dict[str, str]:
    idea = draw.idea
    return {
        "candidate_id": draw.candidate_id,
        "parent_id": draw.slot.parent_id,
        "about": str(idea.tag) if idea.tag and idea.kind is IdeaKind.KNOWLEDGE else str(idea.kind),
        "target": str(draw.target),
        "idea": idea.text,
    }


async def _describe_candidate(work: Work, version: int, source: str) -> dict[str, Any]:
    run, draw = work.run, work.draw
    report = (await run.version(draw.candidate_id, version)).report
    assert report is not None, "a reviewed source has run"
    shares = budget.load(report.costs, run.budgets)
    mutation = await run.steps.find(draw.candidate_id, Step.MUTATE, 0, PROPOSAL)
    idea = mutation.idea if isinstance(mutation, Proposal) and mutation.idea else draw.idea
    return {
        "review": "candidate",
        "candidate_id": draw.candidate_id,
        "parent_id": draw.slot.parent_id,
        "idea": idea.text,
        "costs": story.costs_text({"costs": report.costs, "shares": shares}),
        "diff": story.diff_text(await run.source(draw.slot.parent_id), source),
        "source": source,
        "answer": 'approve, reject or {"edit": "the whole source, changed"}',
    }


def _describe_error(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return f"expected what 'answer' says, found {story.short(repr(error.errors()[0]['input']))}"
    return str(error)
