"""The steady schedule: slots never wait for a stage, and everything a search can do it does there as well."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from contextlib import closing
from pathlib import Path

from fairnad.records.history import History
from fairnad.search.draws import Draw
from graphs.cli.search_command import main, parse
from graphs.runtime.draws import read_draws
from graphs.search.forking import fork_run, list_checkpoints
from store.history_store import FILE_NAME, SqliteHistory
from tests.e2e.killing import SMALL, Counted, Done, read_lines, start
from tests.e2e.networks import UNJAILED
from tests.e2e.sameness import same
from tests.e2e.scripts import lively
from tests.openai_server import Reply, ScriptedServer

STEADY = {**SMALL, "search.schedule": "steady"}


def draws(folder: Path) -> list[Draw]:
    with closing(SqliteHistory(folder / FILE_NAME, read_only=True)) as store:
        return read_draws(store)


def test_a_steady_search_trains_exactly_what_was_asked_for_by_all_operators(flags, history, tmp_path, capsys):
    with ScriptedServer(lively) as server:
        assert main(flags(**{**STEADY, "llm.base_url": server.url})) == 0
    found: History = history()
    assert len(found.trained) == STEADY["archs"]
    assert {record.stage for record in found.records} == {"base", "initial", "fair", "pareto", "refine"}
    drawn = draws(tmp_path / "runs" / "test")
    assert [draw.number for draw in drawn] == list(range(len(drawn)))
    assert {draw.candidate_id for draw in drawn} == {record.candidate_id for record in found.drawn}
    settled: set[str] = set()
    for draw in drawn:
        settled |= set(draw.settled)
        assert draw.slot.parent_id in settled, "a parent is one of those that had finished"
    assert "training slots were idle" in capsys.readouterr().out


def test_kill_nine_keeps_the_draws_and_repeats_no_training_and_no_call(flags, history, tmp_path):
    generator, script, folder = random.Random(2), Counted(tmp_path / "trainings"), tmp_path / "runs" / "test"
    with ScriptedServer(script) as server:
        told = flags(**{**STEADY, **UNJAILED, "llm.base_url": server.url})
        before: list[Draw] = []
        done, trainings, asked = Done.read(folder), Counter[str](), Counter[str]()
        for number in range(5):
            process = start(told)
            if number < 4:
                read_lines(process, generator.randint(4, 7))
                process.send_signal(signal.SIGKILL)
            output, _ = process.communicate()
            assert process.returncode == (-signal.SIGKILL if number < 4 else 0), output
            for tag in done.trained - {""}:
                assert script.trainings()[tag] == trainings[tag], "a finished training was repeated"
            for text in done.answered:
                assert server.asked[text] == asked[text], "an answered call was repeated"
            recorded, done = done.recorded, Done.read(folder)
            assert set(recorded) <= set(done.recorded), "a record was lost"
            trainings, asked = script.trainings(), Counter(server.asked)
            drawn = draws(folder)
            assert drawn[: len(before)] == before, "a draw was made otherwise"
            before = drawn
    assert len(history().trained) == STEADY["archs"]
    assert {draw.candidate_id for draw in before} == {record.candidate_id for record in history().drawn}


def test_without_its_checkpoints_a_steady_search_goes_on_from_its_draws(flags, history, tmp_path):
    folder = tmp_path / "runs" / "test"
    with ScriptedServer(lively) as server:
        told = flags(**{**STEADY, "llm.base_url": server.url, "archs": 6})
        assert main(told) == 0
        num_requests, records = server.num_requests, history().records
        for file in folder.glob("checkpoints.sqlite*"):
            file.unlink()
        assert main(flags(**{**STEADY, "llm.base_url": server.url, "archs": 7})) == 0
        assert len(history().trained) == 7
        assert all(record in history().records for record in records)
        assert server.num_requests > num_requests


def test_a_steady_search_is_replayed_draw_by_draw(flags, history, tmp_path, capsys):
    settings = {**STEADY, "archs": 9}
    with ScriptedServer(lively) as server:
        assert main(flags(**settings, **{"llm.base_url": server.url})) == 0
    del settings["llm.model"]
    replay = {**settings, "llm.replay": "test", "lab.slots": 1}
    assert main(flags(**replay, run="again")) == 0
    assert same(history("again")) == same(history())
    capsys.readouterr()
    (tmp_path / "runs" / "test" / FILE_NAME).rename(tmp_path / "history")
    assert main(flags(**replay, run="third")) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "a steady search is replayed from its run folder" in error


def test_a_fork_keeps_what_was_in_flight(flags, history, tmp_path, capsys):
    with ScriptedServer(lively) as server:
        settings = {**STEADY, "llm.base_url": server.url, "archs": 6}
        assert main(flags(**settings)) == 0
        points = asyncio.run(list_checkpoints(tmp_path / "runs" / "test"))
        # Two candidates may be recorded at once, so not every number of trained candidates has a checkpoint.
        point = next(one for one in points if one["next"] == "steady" and 0 < one["num_trained"] < 5)
        asyncio.run(fork_run(tmp_path / "runs" / "test", point["checkpoint"], parse(flags(**settings, run="other"))))
        kept = draws(tmp_path / "runs" / "other")
        assert len(kept) > len(history("other").drawn), "draws in flight are kept"
        assert main(flags(**settings, run="other")) == 0
    one, other = draws(tmp_path / "runs" / "test"), draws(tmp_path / "runs" / "other")
    assert len(history("other").trained) == 6
    assert [draw.number for draw in other] == list(range(len(other)))
    assert one[: len(kept)] == other[: len(kept)] == kept


def test_a_stalled_steady_search_stops(flags, history, capsys):
    with ScriptedServer(lambda request: Reply("I would rather not.")) as server:
        settings = {**STEADY, "llm.base_url": server.url, "archs": 50, "search.max_stalled_draws": 3}
        assert main(flags(**settings)) == 1
    assert not history().trained
    found = capsys.readouterr().out
    assert f"no candidate trained in the last {len(history().drawn)} draws" in found


def test_reviewed_candidates_are_refused_in_one_line(flags, capsys):
    assert main(flags(**STEADY, review="candidates")) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "expected --search.schedule generational beside --review candidates" in error
