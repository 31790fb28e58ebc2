"""When a search that has ended draws on."""

from __future__ import annotations

from pathlib import Path

from fairnad.records.candidate import BASE_ID
from graphs.runtime.ending import FINAL_TEST, begin_again
from store.history_store import SqliteHistory


def test_a_stalled_search_draws_on_until_its_test_split_was_opened(tmp_path: Path) -> None:
    history = SqliteHistory(tmp_path / "history.sqlite")
    history.set_status("barren")  # the word of earlier versions
    assert begin_again(history)
    assert history.status() == "", "it is no longer over"
    history.set_status("stalled")
    history.add_step(BASE_ID, FINAL_TEST, 0, {"result": {}})
    assert not begin_again(history)
    assert history.status() == "stalled"
    history.close()
