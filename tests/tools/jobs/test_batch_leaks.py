"""Networks before training say little: leaks are found all the same, and a network is not refused for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fairnad.domain.contract import Contract
from fairnad.records.candidate import CheckReport, Failure, FailureKind
from fairnad.settings.search_settings import LabSettings
from tests.tools.jobs.honest_network import network
from tools.agreement import UNDECIDED
from tools.checks import Checker

pytestmark = pytest.mark.asyncio(loop_scope="session")

BASES = sorted(Path("prompts/vision/models").glob("*.py"))
LEAK = "x = x + x.mean(0, keepdim=True)"
PLACES = {"at the input": "stem", "after the first stage": "layers2", "late": "pool"}
DISTANCES = """
d = x.square().sum(1, keepdim=True) - 2 * F.conv2d(x, self.p[..., None, None])
x = self.last(1e3 - d)
"""
WITHOUT_NORM = "x = self.norm.bias[:, None, None] + 1e-9 * x"
HARD = """
k = F.normalize(self.key(x).flatten(2).mT, dim=-1)
score, partner = (k[:, ::2] @ k[:, 1::2].mT).max(-1)
chosen = score.topk(8, dim=-1).indices
t = x.flatten(2).mT
index = (2 * partner.gather(1, chosen) + 1)[..., None].expand(-1, -1, 16)
x = t.scatter(1, (2 * chosen)[..., None].expand(-1, -1, 16), t.gather(1, index)).mT.view_as(x)
"""


def leaking(source: str, before: str) -> str:
    """The source with a leak before a member of its network is called."""
    changed, count = re.subn(rf"( +)(x = self\.{before}\(x\))", rf"\1{LEAK}\n\1\2", source)
    assert count == 1
    return changed


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("base", BASES, ids=lambda path: path.stem)
async def test_a_leak_is_found_in_every_base_wherever_it_is(default_checker, base, place):
    failure = await default_checker.check(leaking(base.read_text(), PLACES[place]))
    assert isinstance(failure, Failure), failure.findings
    assert failure.kind is FailureKind.BATCH_LEAKAGE


@pytest.mark.parametrize("base", BASES, ids=lambda path: path.stem)
async def test_no_base_leaks(default_checker, base):
    assert (await default_checker.check(base.read_text())).findings == ()


async def test_a_network_whose_statistics_are_fresh_is_judged_with_those_of_a_batch(default_checker):
    init = "self.p = nn.Parameter(torch.randn(16, 16))\nself.last = nn.BatchNorm2d(16)"
    report = await default_checker.check(network(init=init, forward=DISTANCES))
    assert isinstance(report, CheckReport), report
    assert report.findings == ()


async def test_a_network_that_says_too_little_before_training_is_judged_afterwards(default_checker):
    report = await default_checker.check(network(forward=WITHOUT_NORM))
    assert isinstance(report, CheckReport), report
    (finding,) = report.findings
    assert not finding.is_fault and finding.kind is FailureKind.INTEGRITY
    assert finding.message.startswith(f"{UNDECIDED}: before training the logits differ between images by less than")


@pytest.mark.parametrize("size", [8, 16, 32])
async def test_hard_matching_is_told_of_and_not_refused(sandbox, size):
    default_checker = Checker(sandbox, LabSettings(), Contract.for_images(size, 10), num_slots=1)
    report = await default_checker.check(network(init="self.key = nn.Conv2d(16, 16, 1)", forward=HARD))
    assert isinstance(report, CheckReport), report
    assert [finding.message for finding in report.findings] == ["no gradient reaches key.weight, key.bias"]


async def test_one_image_that_tips_is_no_leak_and_two_are(default_checker):
    tips = "if len(x) == {}:\n    x = x + 0.1 * x.roll(1, 3)"
    alone = await default_checker.check(network(forward=tips.format(1)))
    assert isinstance(alone, Failure) and alone.kind is FailureKind.BATCH_LEAKAGE
    assert alone.message.startswith("the same image alone and in two batches: 2 of 4 images off by ")
    one = "if len(x) == 3:\n    x = torch.cat([x[:1] * 1.5, x[1:]])"
    report = await default_checker.check(network(forward=one))
    assert isinstance(report, CheckReport), report
