"""What a search learns from its history is the same however often it is killed, and with any number of slots."""

from __future__ import annotations

import json
import signal
from collections import Counter

from fairnad.records.history import History
from graphs.cli.runner import run
from graphs.cli.search_command import parse
from tests.e2e.killing import read_lines, start
from tests.e2e.networks import UNJAILED
from tests.e2e.sameness import same
from tests.e2e.scripts import lively
from tests.openai_server import ScriptedServer

SEARCH = {
    "archs": 8,
    "search.initial": 3,
    "search.fair": 3,
    "search.pareto": 2,
    "search.refine": 0,
    "agents.mode": "best",
    "agents.players": "mutator=llm,debugger=llm",
    "agents.mutation_format": "auto",
    "llm.choice": "bandit",
    **UNJAILED,
}


def test_learned_choices_survive_kill_nine_and_do_not_depend_on_the_slots(flags, history):
    with ScriptedServer(lively) as server:
        models = [
            {"model": "small", "base_url": server.url, "price_input": 1.0, "price_output": 2.0},
            {"model": "large", "base_url": server.url, "price_input": 3.0, "price_output": 6.0},
        ]
        told = flags(**SEARCH, **{"llm.models": json.dumps(models)})
        process = start(told)
        read_lines(process, 7)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        num_recorded = len(history().records)
        assert run(parse(told)) == 0
        assert run(parse([*told, "--run", "whole", "--lab.slots", "1"])) == 0
    killed, whole = history(), history("whole")
    assert 0 < num_recorded < len(killed.records), "it was killed in the middle"
    assert [record.choices for record in killed.records] == [record.choices for record in whole.records]
    assert same(killed) == same(whole)
    _was_learned(killed)


def _was_learned(found: History) -> None:
    """Both models and several forms were tried, and lessons were handed on."""
    drawn = found.drawn
    assert set(Counter(record.choices.model for record in drawn)) == {"small", "large"}
    assert len({record.choices.form for record in drawn}) > 1
    assert any(record.choices.lessons for record in drawn)
