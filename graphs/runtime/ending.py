"""Conditions that end a search: enough trained candidates, a stall, or an evaluation on the test split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairnad.errors import SettingsError
from fairnad.records.history import History
from fairnad.settings.search_settings import RunContext

if TYPE_CHECKING:
    from store.history_store import SqliteHistory

FINAL_TEST = "final test"
"""The step of the test evaluation, see :mod:`graphs.search.test_evaluation`."""


def is_stalled(history: SqliteHistory) -> bool:
    """Whether a search is stalled; earlier versions call it barren."""
    return history.status() in ("stalled", "barren")


def is_over(context: RunContext, history: SqliteHistory) -> bool:
    """Whether a search with these settings has finished."""
    num_trained = len(History(history.records()).trained)
    return is_stalled(history) or (history.status() == "finished" and num_trained >= context.archs)


def is_tested(history: SqliteHistory) -> bool:
    """Whether the test split was evaluated, so that the search accepts no further candidates."""
    return bool(history.find_steps(FINAL_TEST, 0))


def begin_again(history: SqliteHistory) -> bool:
    """Clear the status of a stalled search, so that it can continue; return whether the search may draw."""
    if is_tested(history):
        return False
    if is_stalled(history):
        history.set_status("")
    return True


def refuse_after_final_test(context: RunContext, history: SqliteHistory) -> None:
    """Refuse further candidates after the test evaluation, which could influence their choice.

    Raises:
        SettingsError: the test split was evaluated, and the settings ask for more candidates.
    """
    if is_tested(history) and not is_over(context, history):
        raise SettingsError(
            f"--archs {context.archs}: {context.run_name} has had its final test, so its search is over; "
            "choose another --run for a longer one"
        )
