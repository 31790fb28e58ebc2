"""Every integrity verdict: networks it must refuse, networks it tells of, and unusual ones it must let pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairnad.domain.contract import Contract
from fairnad.records.candidate import CheckReport, Failure, FailureKind, Step
from fairnad.settings.search_settings import LabSettings
from tests.tools.jobs.honest_network import network
from tools.checks import Checker

pytestmark = pytest.mark.asyncio(loop_scope="session")

HONEST = sorted((Path(__file__).parents[2] / "networks" / "honest").glob("*.py"))


@pytest.fixture(scope="module")
def warning_checker(sandbox):
    return Checker(sandbox, LabSettings(integrity="warn"), Contract.for_images(16, 10), num_slots=2)


@pytest.mark.parametrize("file", HONEST, ids=lambda file: file.stem)
async def test_an_honest_network_passes_without_a_finding(default_checker, file):
    report = await default_checker.check(file.read_text())
    assert isinstance(report, CheckReport), report
    assert report.findings == ()


async def test_there_are_enough_unusual_networks_to_say_so():
    assert len(HONEST) >= 20


GUILTY = {
    "the mean of the batch": (network(forward="x = x - x.mean(0)"), FailureKind.BATCH_LEAKAGE, "the same image alone"),
    "a neighbour in the batch": (network(late="x = x + 0.1 * x.roll(1, 0)"), FailureKind.BATCH_LEAKAGE, ""),
    "attention over the batch": (
        network(
            init="self.attention = nn.MultiheadAttention(16, 2)",
            late="x = x + self.attention(x[:, None], x[:, None], x[:, None])[0][:, 0]",
        ),
        FailureKind.BATCH_LEAKAGE,
        "batch_first=True",
    ),
    "norm without running statistics": (
        network(
            init="self.other = nn.BatchNorm2d(16, track_running_stats=False)\nself.mix = nn.Conv2d(16, 16, 1)",
            forward="x = self.other(self.mix(x))",
        ),
        FailureKind.BATCH_LEAKAGE,
        "",
    ),
    "a leak behind a branch that begins at zero": (
        network(init="self.gate = nn.Parameter(torch.zeros(16))", late="x = x + self.gate * x.mean(0)"),
        FailureKind.BATCH_LEAKAGE,
        "",
    ),
    "dropout in evaluation mode": (
        network(late="x = F.dropout(x, 0.5)"),
        FailureKind.NOT_DETERMINISTIC,
        "F.dropout needs training=self.training",
    ),
    "noise from outside torch": (
        network(globals="import random", late="x = x + random.random()"),
        FailureKind.NOT_DETERMINISTIC,
        "the same images twice in evaluation mode",
    ),
    "a count of its calls": (
        network(globals="import itertools\nCALLS = itertools.count(1)", late="x = x * next(CALLS)"),
        FailureKind.NOT_DETERMINISTIC,
        "",
    ),
    "a build that draws without a seed": (
        network(
            globals="import numpy as np",
            init="self.head.bias.data = torch.tensor(np.random.default_rng().normal(size=num_classes)).float()",
        ),
        FailureKind.NOT_DETERMINISTIC,
        "two builds with the same seed differ in head.bias",
    ),
    "a build that depends on the last": (
        network(
            globals="import math\nmath.builds = getattr(math, 'builds', 0) + 1",
            init="self.extra = nn.Linear(16, 16 * math.builds)",
            late="x = x + self.extra(x)[:, :16]",
        ),
        FailureKind.NOT_DETERMINISTIC,
        "differ in extra.weight, extra.bias",
    ),
    "an answer without a question": (
        network(late="x = torch.ones_like(x) + 0 * x"),
        FailureKind.INTEGRITY,
        "the logits do not depend on the image",
    ),
    "weights in a list": (
        network(init="self.own = [torch.randn(16, 16, requires_grad=True)]", late="x = x @ self.own[0]"),
        FailureKind.HIDDEN_WEIGHTS,
        "tensors of shape (16, 16) receive gradients but are not parameters",
    ),
    "weights outside of the network": (
        network(globals="W = torch.ones(16, requires_grad=True)", late="x = x * W"),
        FailureKind.HIDDEN_WEIGHTS,
        "",
    ),
    "weights in a buffer": (
        network(init="self.register_buffer('w', torch.randn(16, 1024))", late="x = x + (x @ self.w)[:, :16]"),
        FailureKind.HIDDEN_WEIGHTS,
        "hold 65536 bytes, 16384 are allowed",
    ),
    "weights in a norm layer's buffers": (
        network(init="self.norm.register_buffer('w', torch.randn(16, 1024))", late="x = x + (x @ self.norm.w)[:, :16]"),
        FailureKind.HIDDEN_WEIGHTS,
        "",
    ),
    "weights in an attribute": (
        network(init="self.w = torch.randn(16, 1024)", late="x = x + (x @ self.w)[:, :16]"),
        FailureKind.HIDDEN_WEIGHTS,
        "",
    ),
    "weights in numpy": (
        network(
            globals="import numpy as np\nW = np.random.normal(size=(16, 1024)).astype('f4')",
            late="x = x + (x @ torch.from_numpy(W).to(x.device))[:, :16]",
        ),
        FailureKind.HIDDEN_WEIGHTS,
        "",
    ),
    "weights behind a small parameter": (
        network(
            init="self.all = torch.randn(16, 1024)\nself.first = nn.Parameter(self.all[:1])",
            late="x = x + (x @ self.all)[:, :16] * self.first[0, :16]",
        ),
        FailureKind.HIDDEN_WEIGHTS,
        "",
    ),
    "a memory that grows": (
        network(init="self.seen = {}", late="self.seen[len(self.seen)] = x.detach()"),
        FailureKind.INTEGRITY,
        "seen grows with every batch",
    ),
    "a memory beside the network": (
        network(globals="SEEN = []", late="SEEN.append(x.detach())"),
        FailureKind.INTEGRITY,
        "SEEN grows",
    ),
    "a memory in its class": (
        network(init="type(self).seen = getattr(type(self), 'seen', [])", late="type(self).seen += [x.detach()]"),
        FailureKind.INTEGRITY,
        "Network.seen grows",
    ),
    "a buffer that is written in evaluation mode": (
        network(init="self.register_buffer('calls', torch.zeros(()))", late="self.calls += 1"),
        FailureKind.INTEGRITY,
        "calls changes in evaluation mode",
    ),
    "weights that adapt in evaluation mode": (
        network(late="self.norm.weight.data *= 0.9999"),
        FailureKind.INTEGRITY,
        "norm.weight changes in evaluation mode",
    ),
    "a layer made by the first batch": (
        network(
            init="self.extra = None",
            late="if self.extra is None:\n    self.extra = nn.Linear(16, 16)\nx = x + self.extra(x)",
        ),
        FailureKind.INTEGRITY,
        "extra.weight, extra.bias appeared or disappeared while the network ran; create every layer in __init__",
    ),
    "a buffer made by the first batch": (
        network(late="self.register_buffer('scale', torch.ones(16, device=x.device))\nx = x * self.scale"),
        FailureKind.INTEGRITY,
        "scale appeared or disappeared while the network ran",
    ),
    "a product as broadcasting": (
        network(
            init="self.w = nn.Parameter(torch.randn(16, 16, 1, 1))",
            forward="for _ in range(16):\n    x = x + (x[:, None] * self.w).sum(2)",
        ),
        FailureKind.MISCOUNTED,
        "operators without a formula process",
    ),
    "a product as distances": (
        network(
            init="self.w = nn.Parameter(torch.randn(512, 16))",
            forward="x = x + torch.cdist(x.flatten(2).mT, self.w).mean(2).view(len(x), 1, 16, 16)",
        ),
        FailureKind.MISCOUNTED,
        "operators without a formula",
    ),
    "a convolution inside an own function": (
        network(
            globals="class Conv(torch.autograd.Function):\n"
            "    @staticmethod\n"
            "    def forward(ctx, x, w):\n"
            "        return F.conv2d(x, w, padding=1)\n"
            "    @staticmethod\n"
            "    def backward(ctx, gradient):\n"
            "        return gradient, None",
            init="self.w = nn.Parameter(torch.randn(16, 16, 3, 3) / 12)",
            forward="x = Conv.apply(x, self.w)",
        ),
        FailureKind.MISCOUNTED,
        "multiply-adds per image by the traced graph",
    ),
    "less work for the one who counts": (
        network(
            init="self.extra = nn.Conv2d(16, 16, 3, padding=1)",
            forward="if torch._C._get_tracing_state() is None: x = x + self.extra(x)",
        ),
        FailureKind.MISCOUNTED,
        "by the operators that run in evaluation mode",
    ),
    "less work for a single image": (
        network(init="self.extra = nn.Conv2d(16, 16, 3, padding=1)", forward="if len(x) > 1: x = x + self.extra(x)"),
        FailureKind.BATCH_LEAKAGE,
        "",
    ),
    "less work that shows in nothing": (
        network(
            init="self.extra = nn.Conv2d(16, 16, 3, padding=1)",
            forward="if len(x) > 1: x = x + 0 * self.extra(x)",
        ),
        FailureKind.MISCOUNTED,
        "the same for every batch size",
    ),
    "more work for large batches": (
        network(
            init="self.extra = nn.Conv2d(16, 16, 3, padding=1)",
            forward="if len(x) > 100: x = x + self.extra(x)",
        ),
        FailureKind.MISCOUNTED,
        "the same for every batch size",
    ),
    "more work in training": (
        network(init="self.extra = nn.Conv2d(16, 16, 3, padding=1)", forward="if self.training: x = x + self.extra(x)"),
        FailureKind.MISCOUNTED,
        "multiply-adds per image in training mode",
    ),
}


@pytest.mark.parametrize("name", GUILTY)
async def test_a_guilty_network_is_refused_with_its_kind_and_a_cure(default_checker, name):
    source, kind, message = GUILTY[name]
    failure = await default_checker.check(source)
    assert isinstance(failure, Failure), failure.findings
    assert (failure.step, failure.kind) == (Step.JUDGE, kind), failure.message
    assert message in failure.message
    assert "\n" not in failure.message


async def test_what_the_guilty_are_made_from_is_honest(default_checker):
    assert (await default_checker.check(network())).findings == ()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (network(init="self.spare = nn.Linear(3, 3)"), "no gradient reaches spare.weight, spare.bias"),
        (network(init="self.calls = 0", late="self.calls += 1"), "calls counts batches in evaluation mode"),
    ],
)
async def test_what_may_be_an_oversight_is_told_and_not_refused(default_checker, source, message):
    report = await default_checker.check(source)
    (finding,) = report.findings
    assert not finding.is_fault
    assert finding.message.startswith(message)


async def test_a_frozen_weight_is_no_oversight(default_checker):
    report = await default_checker.check(network(init="self.conv.weight.requires_grad_(False)"))
    assert report.findings == ()


async def test_with_warn_a_fault_is_stored_with_the_report_and_nothing_is_refused(warning_checker):
    source, kind, _ = GUILTY["dropout in evaluation mode"]
    report = await warning_checker.check(source)
    (finding,) = report.findings
    assert finding.kind is kind and finding.is_fault


async def test_with_off_nothing_is_judged(sandbox):
    default_checker = Checker(sandbox, LabSettings(integrity="off"), Contract.for_images(16, 10), num_slots=2)
    report = await default_checker.check(GUILTY["dropout in evaluation mode"][0])
    assert report.findings == ()


async def test_the_other_costs_do_not_depend_on_the_verdicts(sandbox, default_checker):
    off = Checker(sandbox, LabSettings(integrity="off"), Contract.for_images(16, 10), num_slots=2)
    source = HONEST[0].read_text()
    assert await off.check(source) == await default_checker.check(source)
