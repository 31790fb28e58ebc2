"""When a search is over: it has trained what was asked for, nothing trains any more, or its test split was opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairnad.errors import SettingsError
from fairnad.records.history import History
from fairnad.settings.search_settings import RunContext

if TYPE_CHECKING:
    from store.history_store import SqliteHistory

FINAL_TEST = "final test"
"""The step that opens the test split, see :mod:`graphs.search.test_evaluation`."""


def is_over(context: RunContext, history: SqliteHistory) -> bool:
    """Whether a search with these settings ended by itself and has nothing left to do."""
    num_trained = len(History(history.records()).trained)
    return history.status() == "barren" or (history.status() == "finished" and num_trained >= context.archs)


def begin_again(history: SqliteHistory) -> bool:
    """Whether a search that has ended may draw on: not where its test split was opened. A stalled one is no more."""
    if history.find_steps(FINAL_TEST, 0):
        return False
    if history.status() == "barren":
        history.set_status("")
    return True


def refuse_after_final_test(context: RunContext, history: SqliteHistory) -> None:
    """Refuse further candidates to a search whose test split was opened: what was seen there could choose them.

    Raises:
        SettingsError: there are to be some, and it was.
    """
    if history.find_steps(FINAL_TEST, 0) and not is_over(context, history):
        raise SettingsError(
            f"--archs {context.archs}: {context.run_name} has had its final test, so its search is over; "
            "choose another --run for a longer one"
        )
