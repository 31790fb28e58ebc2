"""What the steady schedule is for: slots that would wait for a stage to be proposed train instead."""

from __future__ import annotations

from benchmarks.schedules import measure


def test_the_slot_stands_idle_less_where_no_stage_is_waited_for(tmp_path):
    idle = {
        schedule: measure(schedule, tmp_path, archs=6, seconds=1.5)["slot_idle_share"]
        for schedule in ("generational", "steady")
    }
    assert 0 < idle["steady"] < 0.7 * idle["generational"]
