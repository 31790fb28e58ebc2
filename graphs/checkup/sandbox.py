"""The sandbox: whether it starts, and how long a check of the base takes in it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fairnad.budget import Budget, load, within
from fairnad.candidate import CheckReport, Failure
from fairnad.errors import LabError, UserError
from fairnad.settings import RunContext
from graphs.assembly import Inputs
from graphs.checkup import Finding, fail, ok, warn
from graphs.telling.wording import share_text
from tools.checks import check_alone
from tools.lab import ISOLATION

_PROBE = """
import torch.nn as nn


class Network(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.layers = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))

    def forward(self, x):
        return self.layers(x)
"""
"""Stands in for the base where that cannot be had."""


async def examine_sandbox(context: RunContext, inputs: Inputs | None) -> list[Finding]:
    """Start the sandbox, build and measure the base in it (or some network, without ``inputs``), end it again."""
    began = time.monotonic()
    try:
        check = inputs.check_base(context.lab) if inputs else check_alone(_PROBE, context.lab, 10, 8)
        report = await check
    except (LabError, UserError) as error:
        return [
            fail("sandbox", str(error), "see packages and memory above; the folder for temporary files must have room")
        ]
    seconds = time.monotonic() - began
    if isinstance(report, Failure):
        advice = "choose another --base" if context.base else "mend the pack's base model"
        return [ok("sandbox", f"starts; isolation {ISOLATION}"), fail("base", _line(report), advice)]
    started = f"starts in {seconds - report.seconds:.1f} s, a check takes {report.seconds:.1f} s; isolation {ISOLATION}"
    return [ok("sandbox", started), *([_base(report, inputs.budgets(report.costs))] if inputs else [])]


def _base(report: CheckReport, budgets: Sequence[Budget]) -> Finding:
    shares = load(report.costs, budgets)
    costs = ", ".join(f"{report.costs[name]:,.10g} {name} ({share_text(share)})" for name, share in shares.items())
    if within(report.costs, budgets):
        return ok("base", costs)
    return warn(
        "base", costs, "a search brings it under its limits first; wider --max-params and --max-flops spare that"
    )


def _line(failure: Failure) -> str:
    return f"{failure.step}: {failure.kind}: {failure.message}"
