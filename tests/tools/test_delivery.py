"""What may be delivered beside the parameters."""

from __future__ import annotations

import hashlib

import numpy as np

from fairnad.records.candidate import FailureKind
from tools.delivery import Role, changed_table, differing_copy, excess, num_params
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


def test_what_is_no_table_counts_as_a_parameter_and_tables_have_room():
    large = WeightTensor("index", "int64", (512, 1024))
    layout = [WEIGHT, TABLE, MEAN, large]
    roles = [Role.PARAMETER, Role.TABLE, Role.BUFFER, Role.INDEX]
    assert num_params(layout, roles) == 1000 + 10
    (finding,) = excess(layout, roles)
    assert finding.message.startswith("constant tables hold 4210688 bytes, 4194304 are allowed")
    assert not list(excess(layout[:3], roles[:3]))


def test_a_table_must_be_delivered_as_it_was_seen():
    raw = np.arange(1010, dtype="<f4")
    digests = [(1, hashlib.sha256(raw[1000:].tobytes()).hexdigest())]
    assert changed_table(raw.tobytes(), [WEIGHT, MEAN], digests) == ""
    raw[-1] = 0
    assert changed_table(raw.tobytes(), [WEIGHT, MEAN], digests) == "mean"


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
