"""The cost of a verification: warm and cold, refusals of honest networks, and the overhead of scoring twice.

    python -m benchmarks.verification --runs 20 --cold 3

Prints machine, versions and n with every figure. A warm verification is the check job as a search runs it: fork,
build, forward, backward, integrity, fingerprint and costs of ResNet-32. A cold one does the same in a Python that is
started for it. Both are taken in turns, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from statistics import median

from fairnad.domain.contract import Contract
from fairnad.domain.recipe import RECIPES
from fairnad.records.candidate import CheckReport, Failure
from fairnad.settings.search_settings import LabSettings
from prompts.loader import load_pack
from tools.checks import Checker, lone_checker
from tools.datasets.tasks import load_task
from tools.lab import TorchLab

_CHECKOUT = Path(__file__).resolve().parents[1]
_HONEST = _CHECKOUT / "tests" / "networks" / "honest"
_COLD = """
import sys
import torch
torch.set_num_threads(1)
from tools.jobs import check_job
request = {"contract": Contract.for_images(32, 10).to_json(), "seed": 0, "integrity": "reject"}
assert check_job.check(sys.stdin.read(), request)["findings"] == []
"""


async def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="warm verifications (default: 20)")
    parser.add_argument("--cold", type=int, default=3, help="cold ones (default: 3)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of the training that is scored (default: 20)")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"machine: {platform.machine()}, {os.cpu_count()} cores, load {load:.1f}; Linux {platform.release()}")
    print(f"versions: Python {platform.python_version()}, torch {version('torch')}, fvcore {version('fvcore')}")
    await _verifications(options.runs, options.cold)
    await _refusals()
    await _scoring(options.epochs)


async def _verifications(num_warm: int, num_cold: int) -> None:
    source = load_pack("vision").base_source("resnet32")
    warm: list[float] = []
    cold: list[float] = []
    async with lone_checker(LabSettings(), Contract.for_images(32, 10)) as checker:
        for number in range(num_warm):
            # A different text for each run, so that no result is cached.
            warm.append(await _warm(checker, f"{source}# {number}\n"))
            if number % max(num_warm // num_cold, 1) == 0 and len(cold) < num_cold:
                cold.append(await asyncio.to_thread(_cold, source))
    print(f"ResNet-32, whole verification, warm: {_spread(warm)}")
    print(f"ResNet-32, whole verification, cold: {_spread(cold)}")
    print(f"cold / warm, medians: {median(cold) / median(warm):.1f}")


async def _warm(checker: Checker, source: str) -> float:
    report = await checker.check(source)
    assert isinstance(report, CheckReport) and not report.findings, report
    return report.seconds


def _cold(source: str) -> float:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    start = time.monotonic()
    command = [sys.executable, "-W", "ignore", "-c", _COLD]
    subprocess.run(command, input=source, text=True, cwd=_CHECKOUT, env=environment, check=True)
    return time.monotonic() - start


async def _refusals() -> None:
    files = sorted(_HONEST.glob("*.py"))
    async with lone_checker(LabSettings(), Contract.for_images(16, 10)) as checker:
        refused = [file.stem for file in files if isinstance(await checker.check(file.read_text()), Failure)]
    print(f"honest and unusual networks refused: {len(refused)} of {len(files)} {' '.join(refused)}".rstrip())


async def _scoring(num_epochs: int) -> None:
    """The overhead of scoring twice, for a training of the default task."""
    pack = load_pack("vision")
    defaults = pack.tasks["digits"]
    task = load_task("digits", data=Path("data"), image_size=0, defaults=defaults)
    recipe = replace(RECIPES[defaults.recipe], num_epochs=num_epochs)
    seconds: dict[str, list[float]] = {"off": [], "reject": []}
    for integrity in ("off", "reject", "off", "reject"):
        with tempfile.TemporaryDirectory() as scratch:
            lab = TorchLab(task, recipe, LabSettings(device="cpu", slots=1, integrity=integrity), Path(scratch))
            await lab.start()
            evaluation = await lab.train(pack.base_source(defaults.base), seed=0)
            await lab.close()
        assert not isinstance(evaluation, Failure), evaluation
        seconds[integrity].append(evaluation.seconds)
    once, twice = min(seconds["off"]), min(seconds["reject"])
    print(
        f"training and scoring {task.name} for {num_epochs} epochs (n=2 each, minima): asked once {once:.1f} s, "
        f"asked again {twice:.1f} s, ratio {twice / once:.3f}"
    )


def _spread(seconds: Sequence[float]) -> str:
    return f"p50 {1000 * median(seconds):.0f} ms, min {1000 * min(seconds):.0f} ms, n={len(seconds)}"


if __name__ == "__main__":
    asyncio.run(main())
