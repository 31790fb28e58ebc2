"""The state of the candidate graph: ids and small plain values, never sources, logs or live objects.

``version`` counts the sources of one candidate: 0 is the mutator's, each debug and downscale adds one.
"""

from __future__ import annotations

import operator
from typing import Annotated, Any

from typing_extensions import TypedDict  # typing.TypedDict has no JSON schema before Python 3.12


class CandidateInput(TypedDict):
    """The candidate to make; its draw is stored under this id."""

    candidate_id: str


class CandidateUpdate(TypedDict, total=False):
    """The fields that the nodes of the candidate graph write (Algorithm 1).

    ``ran_version`` is the last version that ran, −1 if none; ``failure`` is the failure to repair, or the reason for
    discarding the candidate; ``calls`` is the exchange with the tool nodes. ``max_debugs``, ``max_downscales``,
    ``is_reviewed`` and ``resample`` (the kinds of failures after which resampling is better) come from settings and
    draw. ``num_edits`` counts the sources that a reviewer wrote; ``reviewed_version`` is the last version that a
    reviewer has seen, −1 if none. For display: ``trace`` has a line for each step, ``diff`` shows the changes of the
    last new source.
    """

    version: int
    ran_version: int
    num_debugs: int
    num_downscales: int
    max_debugs: int
    max_downscales: int
    resample: list[str]
    single_use_tried: bool
    is_reviewed: bool
    num_edits: int
    reviewed_version: int
    failure: dict[str, Any] | None
    calls: list[Any]
    trace: Annotated[list[str], operator.add]
    diff: str
    recorded: Annotated[list[str], operator.add]


class CandidateState(CandidateInput, CandidateUpdate):
    """The whole state of one candidate."""


class CandidateOutput(TypedDict):
    """The output; the search reads only ``recorded``, all else is in the history.

    LangGraph displays only the keys of the output. The search state has none of the other keys, so parallel candidates
    do not overwrite each other.
    """

    recorded: Annotated[list[str], operator.add]
    version: int
    failure: dict[str, Any] | None
    calls: list[Any]
    trace: Annotated[list[str], operator.add]
    diff: str
