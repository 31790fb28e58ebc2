"""Checks the sandbox: whether it starts, its isolation level, and the time of a check of the base."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from fairnad.domain.budget import Budget, load, within
from fairnad.domain.contract import Contract
from fairnad.errors import LabError, SettingsError, UserError
from fairnad.formatting import share_text
from fairnad.records.candidate import CheckReport, Failure
from fairnad.settings.search_settings import LabSettings, RunContext
from graphs.cli.doctor import Finding, fail, ok, warn
from graphs.runtime.inputs import Inputs
from graphs.runtime.isolation import refuse_weak_isolation
from graphs.runtime.limits import derive_budgets
from tools.checks import lone_checker
from tools.sandbox.isolation import Level, find_level

_PROBE = """
import torch.nn as nn


class Network(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.layers = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))

    def forward(self, x):
        return self.layers(x)
"""
"""Used if the base is not available."""


async def examine_sandbox(context: RunContext, inputs: Inputs | None) -> list[Finding]:
    """Start the sandbox, build and measure the base in it (without ``inputs``, a probe network), and close it."""
    began = time.monotonic()
    try:
        level = await asyncio.to_thread(find_level, context.lab)
        report = await (inputs.check_base(context.lab) if inputs else _check_probe(context.lab))
    except (LabError, UserError) as error:
        advice = "see packages, memory and open files above; the folder for temporary files needs free space"
        return [fail("sandbox", str(error), advice)]
    seconds = time.monotonic() - began
    if isinstance(report, Failure):
        advice = "choose another --base" if context.base else "correct the pack's base model"
        return [ok("sandbox", "starts"), _isolation(context, level), fail("base", _line(report), advice)]
    started = f"starts in {seconds - report.seconds:.1f} s, a check takes {report.seconds:.1f} s"
    base = [_base(report, derive_budgets(inputs.stated_budgets, report.costs))] if inputs else []
    return [ok("sandbox", started), _isolation(context, level), *base]


async def _check_probe(settings: LabSettings) -> CheckReport | Failure:
    async with lone_checker(settings, Contract.for_images(image_size=8, num_classes=10)) as checker:
        return await checker.check(_PROBE)


def _isolation(context: RunContext, level: Level) -> Finding:
    found = f"{level}: {level.layers}"
    try:
        refuse_weak_isolation(context, level)
    except SettingsError as error:
        return fail("isolation", str(error), "install bubblewrap; docs/isolation.md says what each level needs")
    advice = "docs/isolation.md says what each level needs"
    return warn("isolation", found, advice) if level.is_weak else ok("isolation", found)


def _base(report: CheckReport, budgets: Sequence[Budget]) -> Finding:
    shares = load(report.costs, budgets)
    costs = ", ".join(f"{report.costs[name]:,.10g} {name} ({share_text(share)})" for name, share in shares.items())
    if within(report.costs, budgets):
        return ok("base", costs)
    return warn(
        "base", costs, "the search first reduces it to the limits; higher --max-params and --max-flops avoid this"
    )


def _line(failure: Failure) -> str:
    return f"{failure.step}: {failure.kind}: {failure.message}"
