"""From an understood question to evidence. Everything is opened for reading, and closed again."""

from __future__ import annotations

import contextlib

from fairnad.errors import RunFolderError, SettingsError
from fairnad.ideas.conversation import RUN_TOPICS, Evidence, Topic, Understanding
from fairnad.records.history import History
from fairnad.settings.search_settings import RunContext
from graphs.chat.candidate_evidence import tell_candidate, tell_difference, tell_lineage
from graphs.chat.idea_evidence import count_ideas, find_ideas, similar_ideas
from graphs.chat.run_evidence import TELLERS
from graphs.chat.shelf import Shelf, open_run_of, open_shelf
from graphs.runtime.stored_runs import StoredRun


def retrieve(context: RunContext, asked: Understanding) -> tuple[Evidence, ...]:
    """Everything in the stores that answers a question; at least one entry, which may say that nothing was found.

    Raises:
        UserError: the pack, the ideas or the run that is named cannot be read.
    """
    limit = asked.limit or context.chat.limit
    if asked.topic in RUN_TOPICS:
        with open_run_of(context) as run:
            return tuple(_ask_run(context, run, asked, limit))
    with contextlib.ExitStack() as opened:
        remarks = []
        try:
            run = opened.enter_context(open_run_of(context))
        except RunFolderError as error:
            if context.run:
                raise
            run, remarks = None, [Evidence(f"What a run made of them is left out: {error}.")]
        return (*_ask_ideas(open_shelf(context), asked, limit, run.history if run is not None else None), *remarks)


def _ask_ideas(shelf: Shelf, asked: Understanding, limit: int, history: History | None) -> list[Evidence]:
    if asked.topic is Topic.COUNTS:
        return count_ideas(shelf, asked)
    look_up = similar_ideas if asked.topic is Topic.SIMILAR else find_ideas
    return look_up(shelf, asked, limit, history)


def _ask_run(context: RunContext, run: StoredRun | None, asked: Understanding, limit: int) -> list[Evidence]:
    if run is None:
        return [Evidence(f"There is no run in {context.runs} to be asked about: start a search, or name --runs.")]
    if asked.topic in TELLERS:
        return TELLERS[asked.topic](run, asked, limit)
    try:
        return _ask_candidates(run, asked)
    except SettingsError as error:  # a name that fits no candidate is an answer, not the end of a conversation
        return [Evidence(f"{str(error)[0].upper()}{str(error)[1:]}.")]


def _ask_candidates(run: StoredRun, asked: Understanding) -> list[Evidence]:
    names = asked.candidates or ("best",)
    if asked.topic is Topic.DIFF:
        return tell_difference(run, names if len(names) > 1 else ("base", *names))
    tell = tell_lineage if asked.topic is Topic.LINEAGE else tell_candidate
    return [item for name in names for item in tell(run, name)]
