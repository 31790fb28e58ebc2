"""Latency and the memory of intermediate results, which only a run shows."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fairnad.domain.contract import Contract
from fairnad.records.candidate import CheckReport, Failure, FailureKind, Step
from fairnad.settings.search_settings import LabSettings
from tools.checks import MEASURED, Checker
from tools.jobs.measure_job import activation_bytes, latency_ms

IMAGE = torch.zeros(1, 3, 8, 8)
PIXELS = 4 * 64
NETWORK = """
import torch.nn as nn

class Network(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(256, num_classes))
"""


@pytest.mark.parametrize(
    ("network", "num_bytes"),
    [
        pytest.param(nn.Conv2d(3, 4, 1), 4 * PIXELS, id="one result"),
        pytest.param(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), 8 * PIXELS, id="a result and the one before"),
        pytest.param(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True)), 4 * PIXELS, id="in place"),
        pytest.param(nn.Sequential(nn.Conv2d(3, 4, 1), *[nn.ReLU()] * 9), 8 * PIXELS, id="depth takes no more"),
        pytest.param(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Identity()), 4 * PIXELS, id="views"),
    ],
)
@torch.no_grad()
def test_results_count_while_they_are_alive(network, num_bytes):
    assert activation_bytes(network.eval(), IMAGE) == num_bytes


@torch.no_grad()
def test_what_is_kept_counts_to_the_end():
    class Dense(nn.Module):
        def forward(self, x):
            kept = [x + number for number in range(5)]
            return torch.stack(kept).sum(0)

    assert activation_bytes(Dense(), IMAGE) == (5 + 5 + 1) * 3 * PIXELS


@torch.no_grad()
def test_more_work_takes_longer():
    small, large = nn.Conv2d(3, 4, 1), nn.Sequential(nn.Conv2d(3, 64, 3), *[nn.Conv2d(64, 64, 3, padding=1)] * 20)
    assert 0 < latency_ms(small, IMAGE) < latency_ms(large, IMAGE)


@pytest.mark.asyncio(loop_scope="session")
async def test_measured_costs_stand_beside_the_others_where_they_are_wanted(sandbox):
    settings = LabSettings()
    wanting = Checker(sandbox, settings, Contract.for_images(8, 4), 1, ["params", "activation_bytes"])
    report = await wanting.check(NETWORK)
    assert isinstance(report, CheckReport)
    assert report.costs.keys() == {"params", "flops", "activation_bytes"}
    assert report.costs["activation_bytes"] == 4 * PIXELS + 16
    report = await Checker(sandbox, settings, Contract.for_images(8, 4), 1, MEASURED).check(NETWORK)
    assert report.costs["latency_ms"] > 0


@pytest.mark.parametrize(
    ("forge", "kind", "message"),
    [
        ("raise ValueError('no')", FailureKind.RUNTIME, "ValueError: no (line 11)"),
        (
            """open('report.json', 'w').write('{"result": {"latency_ms": 0.0, "activation_bytes": 1}}'); os._exit(0)""",
            FailureKind.CRASH,
            "left a malformed report",
        ),
    ],
)
@pytest.mark.asyncio(loop_scope="session")
async def test_a_source_that_cannot_be_measured_says_why(sandbox, forge, kind, message):
    source = f"""
import json, os
import torch.nn as nn

class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(192, num_classes)

    def forward(self, x):
        if 'integrity' in json.load(open('request.json')) and 'device' in json.load(open('request.json')): {forge}
        return self.head(x.flatten(1))
"""
    failure = await Checker(sandbox, LabSettings(), Contract.for_images(8, 4), 1, MEASURED).check(source)
    assert isinstance(failure, Failure)
    assert (failure.step, failure.kind, failure.message) == (Step.EXECUTE, kind, message)
