"""A search in which nothing trains: it stops, says why, and the same command draws on once that is mended."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from fairnad.records.history import History
from graphs.cli.search_command import main
from store.history_store import FILE_NAME, SqliteHistory
from tests.e2e.sameness import same
from tests.e2e.scripts import lively
from tests.openai_server import Reply, ScriptedServer

WORDS = "the prompt has 5120 tokens, which exceeds the context of 4096"
SMALL = {"archs": 2, "search.initial": 2, "search.max_stalled_draws": 3, "llm.model": "scripted"}


@pytest.mark.parametrize("schedule", ["generational", "steady"])
def test_the_same_command_with_a_mended_endpoint_draws_on(flags, history, tmp_path, capsys, schedule):
    settings = {**SMALL, "search.schedule": schedule}
    with ScriptedServer(lambda request: Reply.error(400, WORDS)) as broken:
        assert main(flags(**settings, **{"llm.base_url": broken.url})) == 1
    printed = capsys.readouterr().out
    assert "draws; the commonest failure is mutate: context" in printed
    assert WORDS in " ".join(printed.split()), "the endpoint is quoted"
    assert "--llm.max-tokens; the same command continues" in " ".join(printed.split())
    before: History = history()
    assert not before.trained and len(before.drawn) >= 3

    with ScriptedServer(lively) as mended:
        assert main([*flags(**settings, **{"llm.base_url": mended.url, "llm.max_tokens": 4000}), "--json"]) == 0
        assert mended.requests[0]["max_tokens"] == 4000
    after: History = history()
    assert len(after.trained) == 2
    assert [after[record.candidate_id] for record in before.records] == list(before.records), "nothing is drawn again"
    *_, finish = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (finish["outcome"], "stall" in finish) == ("finished", False)


def test_it_stalls_again_after_as_many_draws_and_as_the_last_time(flags, history, tmp_path, capsys):
    with ScriptedServer(lambda request: Reply("I would rather not.")) as server:
        for name in ("one", "two"):
            told = [*flags(**SMALL, **{"llm.base_url": server.url}, run=name), "--json"]
            numbers = []
            for _ in range(2):
                assert main(told) == 1
                numbers.append(len(history(name).drawn))
            assert numbers[0] < numbers[1]
            *_, finish = (json.loads(line) for line in capsys.readouterr().out.splitlines())
            assert (finish["stall"]["kind"], finish["stall"]["num_failures"]) == ("reply", numbers[1])
    assert same(history("one")) == same(history("two"))
    with closing(SqliteHistory(tmp_path / "runs" / "one" / FILE_NAME, read_only=True)) as store:
        assert store.status() == "stalled"
