"""Networks that run, but not under torch's tracing, are counted by their operators; decorators change nothing."""

from __future__ import annotations

import pytest

from fairnad.records.candidate import CheckReport, Failure, FailureKind, Step
from tests.tools.jobs.honest_network import network
from tools.checks import Checker

pytestmark = pytest.mark.asyncio(loop_scope="session")

LAYER = "self.small = nn.Conv2d(16, 16, 3, padding=1)"
PLAIN = "x = x + F.conv2d(x, self.small.weight * 2, self.small.bias, padding=1)"
CALLED = """
state = {"weight": self.small.weight * 2, "bias": self.small.bias}
x = x + torch.func.functional_call(self.small, state, (x,))
"""


async def report_of(default_checker: Checker, source: str) -> CheckReport:
    report = await default_checker.check(source)
    assert isinstance(report, CheckReport), report
    assert report.findings == ()
    return report


async def test_a_functional_call_costs_what_the_layer_costs(default_checker):
    called = await report_of(default_checker, network(init=LAYER, forward=CALLED))
    plain = await report_of(default_checker, network(init=LAYER, forward=PLAIN))
    assert called.costs == plain.costs
    assert called.fingerprint == plain.fingerprint


async def test_a_network_that_refuses_to_be_traced_gains_nothing(default_checker):
    refuses = f"if torch.jit.is_tracing():\n    raise ValueError('not me')\n{PLAIN}"
    assert (await report_of(default_checker, network(init=LAYER, forward=refuses))).costs == (
        await report_of(default_checker, network(init=LAYER, forward=PLAIN))
    ).costs


async def test_what_fails_by_itself_is_still_the_candidates_failure(default_checker):
    failure = await default_checker.check(network(forward="torch.func.functional_call(self.conv, {}, (x,))"))
    assert isinstance(failure, Failure)
    assert (failure.step, failure.kind) == (Step.EXECUTE, FailureKind.SHAPE)


async def test_spectral_norm_on_a_large_layer_is_no_more_work_in_training(default_checker):
    init = "self.wide = nn.utils.parametrizations.spectral_norm(nn.Linear(16, 6000))"
    report = await default_checker.check(network(init=init, late="x = x + self.wide(x).mean(1, keepdim=True)"))
    assert isinstance(report, CheckReport), report


async def test_decorators_that_compile_change_nothing(default_checker):
    swish = "def swish(x):\n    return x * torch.sigmoid(x)"
    plain = await report_of(default_checker, network(globals=swish, forward="x = swish(x)"))
    for decorator in ("@torch.jit.script", "@torch.jit.ignore", "@torch.compile", "@torch.compile(dynamic=True)"):
        assert (
            await report_of(default_checker, network(globals=f"{decorator}\n{swish}", forward="x = swish(x)")) == plain
        )
