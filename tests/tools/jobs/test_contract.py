"""Jobs make their examples from the contract alone: images of other sizes, and inputs that are no images."""

from __future__ import annotations

import pytest
import torch

from fairnad.domain.contract import Contract
from fairnad.records.candidate import CheckReport, Failure
from fairnad.settings.search_settings import LabSettings
from tools.checks import MEASURED, Checker
from tools.jobs.network_source import example_inputs

TOKENS = Contract("integer", (12,), ("position",), (5,), ("class",), num_values=20)
GRAY = Contract.for_images(8, 4, num_channels=1)

SENTENCES = """
import torch.nn as nn

class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.embedding = nn.Embedding(20, 16)
        self.hidden = nn.Linear(16, 16)
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        return self.head(self.hidden(self.embedding(x)).relu().mean(1))
"""
PICTURES = """
import torch.nn as nn

class Network(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(num_classes))
"""


@pytest.mark.parametrize("contract", [TOKENS, GRAY, Contract.for_images(6, 3)], ids=["tokens", "gray", "color"])
@pytest.mark.parametrize("fill", ["normal", "uniform", "zeros"])
def test_examples_have_the_shape_type_and_range_of_the_contract(contract, fill):
    inputs = example_inputs(contract, 7, fill)
    assert inputs.shape == (7, *contract.input_shape)
    assert inputs.dtype == (torch.int64 if contract is TOKENS else torch.float32)
    assert (not inputs.any()) == (fill == "zeros")
    if contract is TOKENS:
        assert inputs.min() >= 0 and inputs.max() < contract.num_values


@pytest.mark.parametrize(
    ("contract", "source", "params", "flops"),
    [
        (TOKENS, SENTENCES, 20 * 16 + 16 * 16 + 16 + 16 * 5 + 5, 12 * 16 * 16 + 16 * 5),
        (GRAY, PICTURES, 4 * 9 + 4 + 144 * 4 + 4, 36 * 4 * 9 + 144 * 4),
    ],
    ids=["tokens", "gray"],
)
@pytest.mark.asyncio(loop_scope="session")
async def test_a_source_is_checked_and_measured_by_the_contract(sandbox, contract, source, params, flops):
    checker = Checker(sandbox, LabSettings(check_seconds=60), contract, 1, MEASURED)
    report = await checker.check(source)
    assert isinstance(report, CheckReport), report
    assert (report.costs["params"], report.costs["flops"]) == (params, flops)
    assert report.costs["latency_ms"] > 0 and report.costs["activation_bytes"] > 0
    assert not any(finding.is_fault for finding in report.findings)


@pytest.mark.asyncio(loop_scope="session")
async def test_an_output_of_another_shape_breaks_the_contract(sandbox):
    checker = Checker(sandbox, LabSettings(check_seconds=60), Contract.for_images(8, 4, num_channels=1), 1)
    failure = await checker.check(PICTURES.replace("(num_classes)", "(num_classes + 1)"))
    assert isinstance(failure, Failure)
    assert failure.message == "the output must have the shape (4, 4), found (4, 5)"
