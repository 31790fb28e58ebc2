"""The clock of the slots."""

from __future__ import annotations

import time

import pytest

from fairnad.records.slot_use import SlotUse
from tools.slot_meter import SlotMeter


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = {"seconds": 0.0}
    monkeypatch.setattr(time, "monotonic", lambda: now["seconds"])
    return now


def test_slots_are_counted_from_the_first_training_to_the_last(clock):
    meter = SlotMeter()
    clock["seconds"] = 100.0
    with meter.busy():
        clock["seconds"] = 104.0
        with meter.busy():
            clock["seconds"] = 106.0
    clock["seconds"] = 108.0
    with meter.busy():
        clock["seconds"] = 110.0
    clock["seconds"] = 150.0
    assert meter.take(num_slots=2) == SlotUse(busy_seconds=6.0 + 2.0 + 2.0, slot_seconds=2 * 10.0)
    assert meter.take(num_slots=2) == SlotUse()


def test_a_training_under_way_counts_up_to_now_and_from_then_on(clock):
    meter = SlotMeter()
    with meter.busy():
        clock["seconds"] = 3.0
        assert meter.take(num_slots=1) == SlotUse(3.0, 3.0)
        clock["seconds"] = 5.0
    assert meter.take(num_slots=1) == SlotUse(2.0, 2.0)


def test_uses_add_up_and_nothing_trained_has_no_idle_share():
    assert (SlotUse(3.0, 4.0) + SlotUse(1.0, 4.0)).idle_share == 0.5
    assert SlotUse().idle_share is None
