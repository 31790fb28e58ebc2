"""A search with faults of every kind, the small version of ``python -m benchmarks.soak``."""

from __future__ import annotations

import ast

import pytest

from benchmarks.soak import soak
from fairnad.records.candidate import Stage
from tests.e2e.faults import SOURCES

_MAX_GROWTH_BYTES = 20e6


def test_a_search_with_faults_of_every_kind_ends_whole_and_does_not_grow(tmp_path):
    outcome = soak(12, tmp_path)
    history = outcome.history
    assert outcome.status == 0
    assert outcome.num_left == 0
    assert len(history.trained) == 12
    assert len({record.candidate_id for record in history.records}) == len(history.records) == len(outcome.memory)
    assert all((record.evaluation is None) != (record.failure is None) for record in history.records)
    num_faults = sum(record.num_debugs + (record.failure is not None) for record in history.drawn)
    assert num_faults >= 3, "too few faults to tell"
    assert history.records[0].stage is Stage.BASE
    assert outcome.growth < _MAX_GROWTH_BYTES


@pytest.mark.parametrize("kind", [kind for kind in SOURCES if kind != "syntax"])
def test_a_fault_is_not_one_of_the_tests_own_spelling(kind):
    ast.parse(SOURCES[kind])
