"""The state of the search graph: ids and small plain values; all else is in the history."""

from __future__ import annotations

import operator
from typing import Annotated, Any

from typing_extensions import TypedDict  # typing.TypedDict has no JSON schema before Python 3.12

LAYOUT = 2
"""Version of the state. A thread with another version continues from the history."""


class SearchInput(TypedDict):
    """The input of a search: only its settings."""


class Drawn(TypedDict):
    """A drawn candidate with the text of its idea, which a user may edit in the state."""

    candidate_id: str
    idea: str


class SearchState(TypedDict, total=False):
    """The search (Algorithm 2).

    ``slots`` holds the fields of each :class:`fairnad.search.draws.Slot` to draw next, ``wave`` their candidates,
    ``in_flight`` the candidates in progress (steady-state schedule), ``recorded`` the candidates recorded since
    the last plan. ``num_left`` is the number of trainings left; ``num_failed_in_row`` counts the latest draws without a
    trained candidate. ``outcome`` is empty until the search ends: ``finished`` or ``stalled``.

    At the end: ``rungs`` lists the candidates trained by each recipe, ``finalist_ids`` the best of the last rung;
    ``finals`` and ``result`` are the fields of :class:`fairnad.search.finals.Finals` and
    :class:`graphs.report.result_folder.Result`, ``None`` if nothing was retrained; ``slot_idle_share`` is the fraction
    of idle slot time, ``staleness`` the mean number of candidates recorded between a draw and its own record
    (steady-state schedule), both ``None`` if unknown.

    For display: ``last_wave`` has a line for each newly recorded candidate; ``pass_rate`` covers all draws;
    ``best_id`` and ``best_accuracy`` describe the best candidate so far.
    """

    layout: int
    is_steady: bool
    generation: int
    stage: str
    round: int
    slots: list[dict[str, str]]
    wave: list[Drawn]
    in_flight: list[str]
    recorded: Annotated[list[str], operator.add]
    num_trained: int
    num_left: int
    num_failed_in_row: int
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
