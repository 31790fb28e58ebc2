"""What may be delivered beside the parameters."""

from __future__ import annotations

import numpy as np

from fairnad.candidate import FailureKind
from tools.delivery import Role, differing_copy, excess, num_params
from tools.jobs.weights import WeightTensor

WEIGHT = WeightTensor("w", "float32", (100, 10))
TABLE = WeightTensor("table", "float32", (64, 64))
MEAN = WeightTensor("mean", "float32", (10,))


def test_parameters_are_counted_from_what_is_delivered():
    complex_weight = WeightTensor("c", "complex64", (5,))
    layout = [WEIGHT, complex_weight, MEAN, WEIGHT._replace(name="again")]
    assert num_params(layout, [Role.PARAMETER, Role.PARAMETER, Role.STATISTIC, Role.COPY]) == 1000 + 10


def test_buffers_have_room_for_a_table_and_no_more():
    assert not list(excess([WEIGHT, TABLE], [Role.PARAMETER, Role.BUFFER]))
    (finding,) = excess([WEIGHT, TABLE, MEAN], [Role.PARAMETER, Role.BUFFER, Role.BUFFER])
    assert finding.kind is FailureKind.HIDDEN_WEIGHTS
    assert finding.message.startswith("buffers and other tensors outside of normalisation layers hold 16424 bytes")


def test_there_are_no_more_statistics_than_parameters():
    many = WeightTensor("mean", "float32", (2025,))
    assert not list(excess([WEIGHT, MEAN], [Role.PARAMETER, Role.STATISTIC]))
    (finding,) = excess([WEIGHT, many], [Role.PARAMETER, Role.STATISTIC])
    assert finding.message == "normalisation layers hold 2025 statistics, more than the network has parameters"


def test_a_copy_must_be_one_to_the_last_byte():
    layout = [MEAN, WEIGHT, MEAN._replace(name="again")]
    raw = np.zeros(1020, "<f4")
    assert differing_copy(raw.tobytes(), layout, [(2, 0)]) == ""
    raw[-1] = 1
    assert differing_copy(raw.tobytes(), layout, [(2, 0)]) == "again"
