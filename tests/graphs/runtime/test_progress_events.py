"""Work that takes a while is told in a graph's custom stream, again and again until it is done."""

from __future__ import annotations

import asyncio
from typing import TypedDict

import pytest
from langgraph.graph import START, StateGraph

from graphs.runtime import progress_events as ticker
from graphs.runtime.progress_events import Ticker, ticking


class State(TypedDict, total=False):
    done: bool


def events_of(work, until=lambda events: False):
    """The progress events of a node that does ``work``, which is handed an event that is set by ``until``."""

    async def collect():
        enough, events = asyncio.Event(), []

        async def node(_: State) -> State:
            await work(enough)
            return {"done": True}

        graph = StateGraph(State).add_node("node", node).add_edge(START, "node").compile()
        async for event in graph.astream({}, stream_mode="custom"):
            events.append(event["progress"])
            if until(events):
                enough.set()
        return events

    return asyncio.run(collect())


def test_what_takes_long_is_told_again_and_again(monkeypatch):
    monkeypatch.setattr(ticker, "TICK_SECONDS", 0.01)

    async def work(enough):
        async with ticking("write", file="best.onnx"):
            await enough.wait()

    events = events_of(work, until=lambda events: len(events) == 4)
    assert len(events) >= 4
    assert [piece["file"] for one in events for piece in one["running"]] == ["best.onnx"] * (len(events) - 1)
    assert (events[-1]["num_done"], events[-1]["num_all"], events[-1]["running"]) == (1, 1, [])
    elapsed = [piece["elapsed_seconds"] for one in events for piece in one["running"]]
    assert elapsed == sorted(elapsed)


def test_what_ends_soon_is_silent_where_it_may_be():
    async def work(enough):
        async with ticking("mutate", patience=60.0, candidate_id="one"):
            pass
        async with ticker.trainings("retrain", num_slots=1, num_all=1) as stored:
            with stored.piece(candidate_id="one", seed=1):
                await asyncio.to_thread(len, "")

    assert events_of(work) == []


def test_what_waits_for_a_slot_is_queued_until_it_has_one():
    async def work(enough):
        slot = asyncio.Semaphore(1)

        async def train(seed):
            with running.piece(expected_seconds=8.0, candidate_id="one", seed=seed) as piece:
                async with slot:
                    with piece.running():
                        await enough.wait()

        async with Ticker("retrain", num_slots=1, num_all=3) as running:
            await asyncio.gather(*map(train, (1, 2, 3)))

    events = events_of(work, until=lambda events: events[-1]["running"])
    states = [([piece["seed"] for piece in one["running"]], [p["seed"] for p in one["queued"]]) for one in events]
    assert ([1], [2, 3]) in states
    assert states[-1] == ([], [])
    first = next(one for one in events if one["running"])
    assert first["seconds_left"] == pytest.approx(24.0, abs=1.0)
    assert [one["num_done"] for one in events] == sorted(one["num_done"] for one in events)


def test_outside_a_graph_nothing_is_told():
    async def work():
        async with ticking("train", num_slots=1, candidate_id="one") as piece:
            with piece.running():
                return "done"

    assert asyncio.run(work()) == "done"


def test_work_that_fails_says_nothing_at_its_end():
    async def work(enough):
        with pytest.raises(ValueError, match="broken"):
            async with ticking("write", file="best.onnx"):
                raise ValueError("broken")

    assert events_of(work) == []
