"""The benchmark that replays a long search, on a small scale."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.replay import replay, report
from fairnad.records.history import History


def test_a_replay_has_every_record_and_every_call_and_a_difference_is_named(tmp_path):
    outcome = replay(4, tmp_path)
    num_all, num_calls = len(outcome.recorded.records), len(outcome.recorded_calls)
    assert outcome.is_identical
    assert len(outcome.recorded.trained) == 4
    *others, verdict = report(outcome)
    assert len(others) == 1, "no difference is told"
    assert verdict == f"identical: {num_all} of {num_all} candidates, 4 of them trained, {num_calls} calls"

    first, second, *rest = outcome.replayed.records
    other = replace(
        outcome,
        replayed=History([replace(first, note="another"), *rest]),
        replayed_calls=outcome.replayed_calls[1:],
    )
    assert not other.is_identical
    _, *told, verdict = report(other)
    assert told == [
        f'{first.candidate_id} differs in note: "{first.note}" then, "another" now',
        f"{second.candidate_id} is not in the replay",
        f"1 recorded calls are not in the replay, which has {num_calls - 1}",
    ]
    assert verdict.startswith(f"not identical: {num_all - 2} of {num_all} candidates, ")
