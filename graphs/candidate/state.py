"""What the graphs carry from node to node: ids and small plain values, never sources, logs or live objects.

``version`` counts the sources of one candidate: 0 is the mutator's, each debug and downscale adds one.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated, Any

from typing_extensions import TypedDict  # typing's has no JSON schema before Python 3.12, and servers show one

from fairnad.ideas.idea import Idea, MutationTarget
from fairnad.records.draw_decisions import NO_CHOICES, Choices

Ids = Annotated[list[str], operator.add]
Lines = Annotated[list[str], operator.add]


class Slot(TypedDict):
    """One place in a stage: drawn again until it trains or its draws are spent.

    ``kind`` is the kind of its ideas; ``current_id`` and ``previous_id`` are a_{t−1} and a_{t−2} in stage refine,
    empty elsewhere; ``trained_id`` is empty until a draw trains.
    """

    slot: int
    parent_id: str
    kind: str
    current_id: str
    previous_id: str
    num_draws: int
    trained_id: str


@dataclass(frozen=True, slots=True)
class Draw:
    """What a candidate was drawn with."""

    idea: Idea
    target: MutationTarget
    choices: Choices = NO_CHOICES


@dataclass(frozen=True, slots=True)
class SteadyDraw:
    """A draw of the steady schedule among all of a run.

    ``number`` counts them from 0; ``slot`` is what it was planned as; ``settled`` are the candidates that were
    recorded since the draw before it, so that it was made from these and those of all earlier draws. ``earlier`` are
    those that are to be judged before it, where a search is replayed.
    """

    candidate_id: str
    number: int
    slot: Slot
    settled: tuple[str, ...]
    drawn: Draw
    earlier: tuple[str, ...] = ()


class Schedule(TypedDict):
    """What the routes need of the settings (paper Table 5)."""

    is_steady: bool
    refine_rounds: int
    max_draws: int
    max_barren_draws: int


class SearchInput(TypedDict):
    """What a search is started with: nothing, since its settings say all."""


class CandidateInput(TypedDict):
    """What the search hands to one candidate.

    ``choices`` are the fields of :class:`fairnad.records.draw_decisions.Choices`; ``earlier`` are the candidates of
    its wave in lower slots. ``review`` says whether a person sees the source before
    it is trained; ``refused`` and ``idea_edited`` what a person made of the idea.
    """

    candidate_id: str
    parent_id: str
    current_id: str
    previous_id: str
    idea: dict[str, Any]
    target: str
    choices: dict[str, Any]
    earlier: list[str]
    max_debugs: int
    max_downscales: int
    review: bool
    refused: bool
    idea_edited: bool


class CandidateState(CandidateInput, total=False):
    """The feedback loop of one candidate (Algorithm 1).

    ``ran_version`` is the last version that ran, −1 while none did; ``failure`` is what sends the candidate to the
    debugger, or out; ``calls`` is the exchange with the tool nodes. ``num_edits`` counts the sources a person wrote;
    ``reviewed_version`` is the last version a person has seen, −1 while there is none. For people: ``trace`` tells
    step by step what happened, ``diff`` what the last step that wrote a source changed; both are kept short.
    """

    version: int
    ran_version: int
    num_debugs: int
    num_downscales: int
    single_use_tried: bool
    num_edits: int
    reviewed_version: int
    failure: dict[str, Any] | None
    calls: list[Any]
    trace: Lines
    diff: str
    recorded: Ids


class CandidateUpdate(TypedDict, total=False):
    """What a node of the candidate graph may write."""

    version: int
    ran_version: int
    num_debugs: int
    num_downscales: int
    single_use_tried: bool
    num_edits: int
    reviewed_version: int
    failure: dict[str, Any] | None
    calls: list[Any]
    trace: list[str]
    diff: str
    recorded: list[str]


class CandidateOutput(TypedDict):
    """What a candidate tells the search: that it is recorded. All else is read from the history.

    The other keys are for people: LangGraph shows of a step what belongs to the output. The search has none of them,
    so that the candidates of a wave do not write over each other.
    """

    recorded: Ids
    version: int
    failure: dict[str, Any] | None
    calls: list[Any]
    trace: Lines
    diff: str


class SearchState(TypedDict, total=False):
    """The search (Algorithm 2).

    ``wave`` is what is drawn together; ``recorded`` which of it is done; ``num_left`` how many trainings are still
    wanted. ``outcome`` is empty until the search ends: ``finished`` or ``barren``. ``rungs`` says what each recipe
    brought, ``finalist_ids`` are the best of the highest; ``finals`` and ``result`` are the fields of
    :class:`fairnad.search.finals.Finals` and :class:`graphs.report.result_folder.Result`, ``None`` where nobody was
    retrained. For people: ``last_wave`` has a line for each candidate of the last wave, ``pass_rate`` is that of all
    draws, ``best_id`` and ``best_accuracy`` name the best so far. In the steady schedule ``flights`` are the candidates
    that are under way, the ``wave`` those that are to follow, and ``num_drawn`` counts all of them. At the end
    ``slot_idle_share`` is the part of the time the slots stood empty, and ``staleness`` how many candidates were
    recorded between a draw and its own record on average; ``None`` where unknown.
    """

    schedule: Schedule
    generation: int
    stage: str
    round: int
    slots: list[Slot]
    wave: list[CandidateInput]
    flights: list[CandidateInput]
    num_drawn: int
    recorded: Ids
    num_trained: int
    num_left: int
    num_barren: int
    last_wave: list[str]
    pass_rate: str
    best_id: str
    best_accuracy: float | None
    outcome: str
    rungs: list[dict[str, Any]]
    finalist_ids: list[str]
    slot_idle_share: float | None
    staleness: float | None
    finals: dict[str, Any] | None
    result: dict[str, Any] | None
