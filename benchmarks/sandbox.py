"""What isolation costs: ``python -m benchmarks.sandbox [--n 30] [--levels ABCDE]``.

For each level this machine offers, in one run and one after the other so that whatever else the machine does hits all
alike: a bare fork, a fork that closes its jail, the run check of ResNet-32 (policy, jail, build, forward and backward
of four images), and the whole check as a search has it. Beside them the same run check and whole check in a cold
process, which is what a search without a warm server would pay. At the end: how many honest but unusual networks are
refused.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fairnad.domain.contract import Contract
from fairnad.records.candidate import Step
from fairnad.settings.search_settings import LabSettings
from tools.sandbox.isolation import Level, SandboxFolders, find_obstacle, wrapper
from tools.sandbox.job import Job, JobKind, Limits

_CHECKOUT = Path(__file__).resolve().parents[1]
_SOURCE = _CHECKOUT / "prompts" / "vision" / "models" / "resnet32.py"
_REQUEST = {"contract": Contract.for_images(32, 10).to_json(), "seed": 0, "integrity": "reject"}
_LIMITS = Limits(wall_seconds=60, memory_bytes=10**9, output_bytes=10**5)
_NUM_COLD = 5

Seconds = tuple[float, float]
"""Wall time and CPU time; CPU time is more reliable on a busy machine."""

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sandbox", description="What isolation costs.")
    parser.add_argument("--n", type=int, default=30, help="repetitions of each measurement (cold ones: 5)")
    parser.add_argument("--levels", default="ABCDE", help="which levels")
    parser.add_argument("--inside", type=Level, help=argparse.SUPPRESS)
    parser.add_argument("--cold", choices=["run", "whole"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    source = os.environ.get("BENCHMARK_SOURCE") or _SOURCE.read_text()
    if options.cold:
        {"run": _run_check, "whole": _whole_check}[options.cold](source)
    elif options.inside:
        print(json.dumps(_inside(options.inside, options.n, source)))
    else:
        _print_all(options.n, options.levels, source)


def _print_all(n: int, levels: str, source: str) -> None:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {load}; Python {platform.python_version()}", end="")
    print(f", torch {version('torch')}; n = {n}, {_NUM_COLD} cold; milliseconds of wall time, min / median, and of CPU")
    cold = {kind: [_cold(kind) for _ in range(_NUM_COLD)] for kind in ("run", "whole")}
    print(f"cold process: run check {_text(cold['run'])}, whole check {_text(cold['whole'])}")
    for level in map(Level, levels):
        with tempfile.TemporaryDirectory() as name:
            folders = SandboxFolders.below(Path(name), LabSettings(device="cpu"))
            folders.jobs.mkdir()
            if obstacle := find_obstacle(level, folders):
                print(f"{level}: {obstacle}")
                continue
            warm = _warm(level, folders, n, source)
        warm["whole check"] = asyncio.run(_whole_checks(level, n, source))
        print(f"{level}: " + ", ".join(f"{what} {_text(times)}" for what, times in warm.items()), end="")
        run, whole = (_ratio(cold[kind], warm[f"{kind} check"]) for kind in ("run", "whole"))
        print(f"; cold ÷ warm: run check {run}, whole check {whole}")
    print(asyncio.run(_false_refusals()))


def _text(times: Sequence[Seconds]) -> str:
    wall, processor = zip(*times, strict=True)
    return f"{1000 * min(wall):.0f} / {1000 * statistics.median(wall):.0f} ({1000 * statistics.median(processor):.0f})"


def _ratio(cold: Sequence[Seconds], warm: Sequence[Seconds]) -> str:
    wall, processor = (
        statistics.median(one[i] for one in cold) / statistics.median(one[i] for one in warm) for i in (0, 1)
    )
    return f"{wall:.1f} ({processor:.1f})"


def _cold(kind: str) -> Seconds:
    began = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.sandbox", "--cold", kind]
    process = subprocess.Popen(command, cwd=_CHECKOUT, env=os.environ | _ONE_THREAD, stderr=subprocess.DEVNULL)
    return _waited(process.pid, began)


def _waited(pid: int, began: float) -> Seconds:
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"a measured process ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime


def _warm(level: Level, folders: SandboxFolders, n: int, source: str) -> dict[str, list[Seconds]]:
    """Forks of a warm process in the same jail as the fork server."""
    script = folders.scratch / "inside.py"
    shutil.copy(__file__, script)
    command = [*wrapper(level, folders), sys.executable, "-P", str(script), "--inside", level, "--n", str(n)]
    environment = os.environ | _ONE_THREAD | {"PYTHONPATH": str(_CHECKOUT), "BENCHMARK_SOURCE": source}
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return {what: [(wall, processor) for wall, processor in times] for what, times in json.loads(done.stdout).items()}


def _inside(level: Level, n: int, source: str) -> dict[str, list[Seconds]]:
    from tools.sandbox import fork_server, jail

    fork_server.warm_up()
    with tempfile.TemporaryDirectory() as name:
        allowance = jail.Allowance(Path(name), (), 60, None, 10**9, 10**6, with_gpu=False)

        def checked() -> None:
            jail.close(level, allowance)
            _run_check(source)

        kinds: dict[str, Callable[[], Any]] = {
            "fork": lambda: None,
            "fork and jail": lambda: jail.close(level, allowance),
            "run check": checked,
        }
        return {what: [_forked(work) for _ in range(n)] for what, work in kinds.items()}


def _forked(work: Callable[[], Any]) -> Seconds:
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return _waited(pid, began)


def _run_check(source: str) -> None:
    import torch
    import torch.nn.functional as F

    from tools.jobs import source_policy
    from tools.jobs.network_source import build_network

    torch.set_num_threads(1)
    source_policy.enforce(source)
    network = build_network(source, Contract.for_images(32, 10), seed=0)
    F.cross_entropy(network(torch.randn(4, 3, 32, 32)), torch.arange(4)).backward()  # type: ignore[no-untyped-call]


def _whole_check(source: str) -> None:
    import torch

    from tools.jobs import check_job

    torch.set_num_threads(1)
    check_job.check(source, _REQUEST)


async def _whole_checks(level: Level, n: int, source: str) -> list[Seconds]:
    from tools.sandbox.supervisor import Sandbox

    times = []
    with tempfile.TemporaryDirectory() as name:
        sandbox = Sandbox(Path(name), LabSettings(isolation=level.value, device="cpu"))
        try:
            await sandbox.start()
            for _ in range(n):
                began = time.monotonic()
                result = await sandbox.run(Job(JobKind.CHECK, Step.EXECUTE, source, _REQUEST, _LIMITS))
                times.append((time.monotonic() - began, result.cpu_seconds))
                if result.failure is not None:
                    raise RuntimeError(result.failure.message)
        finally:
            await sandbox.close()
    return times


async def _false_refusals() -> str:
    """Check honest networks by policy, jail and check job at the best available level."""
    from tests.tools.sandbox.hostile.legitimate import LEGITIMATE
    from tools.sandbox.supervisor import Sandbox

    refused = []
    with tempfile.TemporaryDirectory() as name:
        sandbox = Sandbox(Path(name), LabSettings(device="cpu"))
        try:
            await sandbox.start()
            for title, text in LEGITIMATE.items():
                result = await sandbox.run(Job(JobKind.CHECK, Step.EXECUTE, text, _REQUEST, _LIMITS))
                if result.failure is not None:
                    refused.append(f"{title}: {result.failure.message}")
            level = sandbox.isolation
        finally:
            await sandbox.close()
    share = f"{len(refused)} of {len(LEGITIMATE)} honest networks refused at level {level}"
    return "\n  ".join([share, *refused])


if __name__ == "__main__":
    main()
