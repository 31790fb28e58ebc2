"""A search says in the custom stream of its graph what it is doing, from the first training to the last file."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from graphs.runtime.registry import release
from graphs.search.graph import build
from tests.e2e.scripts import lively
from tests.openai_server import ScriptedServer

NUM_CANDIDATES = 2
SLOTS = 1


async def stream(context) -> list[dict[str, Any]]:
    """Every custom event, those of the candidates' graphs included."""
    graph = build().compile(name="search")
    try:
        streamed = graph.astream({}, context=context, stream_mode="custom", subgraphs=True)
        return [event async for _, event in streamed]
    finally:
        await release(context)


@pytest.fixture
def events(context):
    with ScriptedServer(lively) as server:
        settings = {"llm.model": "m", "llm.base_url": server.url, "archs": NUM_CANDIDATES, "lab.slots": SLOTS}
        settings |= {"search.initial": 2, "search.finalists": 2, "search.confirm_seeds": 2}
        return asyncio.run(stream(context(**settings)))


def test_trainings_finals_and_the_result_are_told(events):
    progress = [event["progress"] for event in events if "progress" in event]
    trainings_and_files = [
        one["doing"] for one in progress if one["doing"] in {"train", "retrain", "hold out", "write"}
    ]
    assert [name for name, _ in itertools.groupby(trainings_and_files)] == ["train", "retrain", "hold out", "write"]

    trained = {piece["candidate_id"] for one in progress if one["doing"] == "train" for piece in one["running"]}
    recorded = {event["recorded"] for event in events if "recorded" in event}
    assert trained <= recorded
    assert len(trained) >= 1 + NUM_CANDIDATES, "the base and each candidate ran"
    queued = {piece["candidate_id"] for one in progress if one["doing"] == "train" for piece in one["queued"]}
    assert queued, "with one slot somebody waits"
    assert queued <= trained
    base, *others = [piece for one in progress if one["doing"] == "train" for piece in one["running"]]
    assert base["expected_seconds"] is None
    assert all(
        piece["expected_seconds"] is not None for piece in others if piece["candidate_id"] != base["candidate_id"]
    )

    finals = [one for one in progress if one["doing"] == "retrain"]
    assert {one["num_all"] for one in finals} == {3 * 2}, "two finalists and the base, two seeds each"
    counts = [one["num_done"] for one in finals]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 6)
    assert all(len(one["running"]) <= SLOTS for one in finals)
    assert {piece["seed"] for one in finals for piece in one["running"]} == {1, 2}
    assert all(one["seconds_left"] is not None for one in finals)
    assert finals[-1]["seconds_left"] == 0
    assert {len(one["queued"]) for one in finals} >= {0, 5}

    shown = [one for one in progress if one["doing"] == "hold out"]
    assert (shown[-1]["num_done"], shown[-1]["running"]) == (shown[-1]["num_all"], [])
    files = [piece["file"] for one in progress if one["doing"] == "write" for piece in one["running"]]
    assert list(dict.fromkeys(files)) == ["best.onnx", "best.py", "report.html"]
