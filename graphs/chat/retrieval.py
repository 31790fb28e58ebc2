"""From a query to evidence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from fairnad.errors import RunFolderError, SettingsError
from fairnad.ideas.conversation import RUN_TOPICS, Evidence, Topic, Understanding
from fairnad.records.history import History
from fairnad.settings.search_settings import RunContext
from graphs.chat.candidate_evidence import describe_candidate, describe_difference, describe_lineage
from graphs.chat.idea_evidence import count_ideas, find_ideas, similar_ideas
from graphs.chat.run_evidence import DESCRIPTIONS
from graphs.chat.services import ChatServices
from graphs.runtime.stored_runs import StoredRun, find_run, open_run, run_folders

_NUM_RESULTS = 8
"""Ideas or candidates in an answer to a question without a number."""


def retrieve(services: ChatServices, context: RunContext, asked: Understanding) -> tuple[Evidence, ...]:
    """The evidence for a query; at least one entry, which may say that nothing was found.

    Raises:
        UserError: the named run cannot be read.
    """
    limit = asked.limit or _NUM_RESULTS
    if asked.topic in RUN_TOPICS:
        with _open_run(context) as run:
            return tuple(_ask_run(context, run, asked, limit))
    with contextlib.ExitStack() as opened:
        remarks = []
        try:
            run = opened.enter_context(_open_run(context))
        except RunFolderError as error:
            if context.run:
                raise
            run, remarks = None, [Evidence(f"Results of a run are left out: {error}.")]
        return (*_ask_ideas(services, asked, limit, run.history if run is not None else None), *remarks)


@contextlib.contextmanager
def _open_run(context: RunContext) -> Iterator[StoredRun | None]:
    """The named run, or the run used last; ``None`` without runs.

    Raises:
        RunFolderError: the run is unknown or has another version.
    """
    runs = Path(context.runs)
    if not context.run and not run_folders(runs):
        yield None
        return
    with open_run(find_run(runs, context.run)) as run:
        yield run


def _ask_ideas(services: ChatServices, asked: Understanding, limit: int, history: History | None) -> list[Evidence]:
    if asked.topic is Topic.COUNTS:
        return count_ideas(services, asked)
    look_up = similar_ideas if asked.topic is Topic.SIMILAR else find_ideas
    return look_up(services, asked, limit, history)


def _ask_run(context: RunContext, run: StoredRun | None, asked: Understanding, limit: int) -> list[Evidence]:
    if run is None:
        return [Evidence(f"There is no run in {context.runs} to ask about: start a search, or name --runs.")]
    if asked.topic in DESCRIPTIONS:
        return DESCRIPTIONS[asked.topic](run, asked, limit)
    try:
        return _ask_candidates(run, asked)
    except SettingsError as error:  # an unknown candidate is an answer, so that the conversation continues
        return [Evidence(f"{str(error)[0].upper()}{str(error)[1:]}.")]


def _ask_candidates(run: StoredRun, asked: Understanding) -> list[Evidence]:
    names = asked.candidates or ("best",)
    if asked.topic is Topic.DIFF:
        return describe_difference(run, names if len(names) > 1 else ("base", *names))
    describe = describe_lineage if asked.topic is Topic.LINEAGE else describe_candidate
    return [item for name in names for item in describe(run, name)]
