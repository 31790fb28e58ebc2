"""Checks Python, packages, cores, memory, disk and GPU, without importing torch."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from fairnad.errors import SettingsError
from fairnad.formatting import quantity_text
from fairnad.open_files import is_short, shortage_text
from fairnad.settings.search_settings import RunContext
from graphs.cli.doctor import Finding, fail, ok, warn
from tools.lab import num_slots
from tools.slots import device_name

_CHECKOUT = Path(__file__).resolve().parents[3]
_LEAST_DISK, _GOOD_DISK = 200e6, 5e9
_SMI_SECONDS = 20
_SMI = ("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")


def examine_machine(context: RunContext) -> list[Finding]:
    """Findings about the machine for a search with these settings."""
    return [
        _python(),
        *_packages(),
        _slots(context),
        *_memory(context),
        _open_files(),
        _disk(Path(context.runs)),
        _gpu(),
    ]


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    wanted = _project()["requires-python"]
    if not SpecifierSet(wanted).contains(found):
        return fail("python", f"{found}, expected {wanted}", "make setup PYTHON=... with a newer one")
    return ok("python", f"{found}, {sys.executable}")


def _packages() -> Iterator[Finding]:
    """One finding for all packages that fit, and one for each other package."""
    requirements = [Requirement(line) for line in _project()["dependencies"]]
    num_fit = 0
    for requirement in requirements:
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            yield fail("packages", f"{requirement.name} is not installed", "make setup")
            continue
        if requirement.specifier.contains(found, prereleases=True):
            num_fit += 1
        else:
            yield fail("packages", f"{requirement.name} {found}, expected {requirement.specifier}", "make setup")
    if num_fit:
        yield ok("packages", f"{num_fit} of {len(requirements)} as pyproject.toml requires; torch {_torch()}")


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((_CHECKOUT / "pyproject.toml").read_text())["project"]
    return project


def _torch() -> str:
    try:
        return version("torch")
    except PackageNotFoundError:
        return "missing"


def _slots(context: RunContext) -> Finding:
    cores = len(os.sched_getaffinity(0))
    try:
        slots, device = num_slots(context.lab), device_name(context.lab)
    except SettingsError as error:
        return fail("slots", str(error), "correct the setting, or omit it")
    if context.lab.address:
        return ok("slots", f"{slots} on {device}, on the cluster at {context.lab.address}")
    found = f"{slots} on {device}; {cores} cores"
    if device == "cpu" and slots > cores:
        return warn("slots", found, "trainings slow each other down; --lab.slots 0 uses one per core")
    return ok("slots", found)


def _memory(context: RunContext) -> Iterator[Finding]:
    available = _available_memory()
    if available is None:
        return
    slots = context.lab.slots or len(os.sched_getaffinity(0))
    found = f"{quantity_text(available)} bytes free"
    if slots * context.lab.memory > available:
        problem = f"{found}; {slots} jobs may take {quantity_text(context.lab.memory)} each"
        yield warn("memory", problem, f"--lab.memory {quantity_text(available / slots)}, or fewer --lab.slots")
    else:
        yield ok("memory", found)


def _available_memory() -> float | None:
    """Available bytes, within the limit of the container; ``None`` if the files of Linux are missing."""
    file = Path("/proc/meminfo")
    match = re.search(r"^MemAvailable:\s+(\d+) kB", file.read_text(), re.MULTILINE) if file.exists() else None
    if match is None:
        return None
    limit, used = (Path(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    free = [float(match[1]) * 1024]
    if limit.exists() and used.exists() and limit.read_text().strip().isdecimal():
        free.append(float(limit.read_text()) - float(used.read_text()))
    return max(min(free), 0.0)


def _open_files() -> Finding:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if is_short(limit):
        found, _, advice = shortage_text(limit).partition(": ")
        return fail("open files", found, advice)
    return ok("open files", "any number" if limit < 0 else f"{limit:,} at a time")


def _disk(runs: Path) -> Finding:
    place = runs.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    found = f"{quantity_text(free)} bytes free for {runs}"
    if not os.access(place, os.W_OK):
        return fail("disk", f"{place} is not writable", "change its permissions, or choose another --runs")
    if free < _LEAST_DISK:
        return fail("disk", found, "free some space, or choose another --runs")
    if free < _GOOD_DISK:
        return warn("disk", found, "a long search needs more: free some space")
    return ok("disk", found)


def _gpu() -> Finding:
    files = _gpu_files()
    names = _nvidia_smi()
    if not files and not names:
        return ok("gpu", "none; candidates train on the CPU")
    found = "; ".join(names) or ", ".join(files)
    if not files:
        return warn("gpu", f"{found}, but no /dev/nvidia0", "start the container with its GPUs")
    if _torch_cuda() is None:
        return warn("gpu", f"{found}, but torch {_torch()} is built without CUDA", "install torch with CUDA")
    if not names:
        return warn("gpu", f"{found}, but nvidia-smi reports nothing", "install or repair the NVIDIA driver")
    return ok("gpu", f"{found}; torch {_torch()} for CUDA {_torch_cuda()}")


def _gpu_files() -> list[str]:
    return [path.name for path in sorted(Path("/dev").glob("nvidia[0-9]*"))]


def _nvidia_smi() -> list[str]:
    """A line per GPU: name, memory, driver; empty if the program is missing or fails."""
    if shutil.which(_SMI[0]) is None:
        return []
    try:
        done = subprocess.run(_SMI, capture_output=True, text=True, timeout=_SMI_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []


def _torch_cuda() -> str | None:
    """The CUDA version that torch was built for, from its files; ``None`` for a build without CUDA."""
    try:
        file = Path(str(distribution("torch").locate_file("torch/version.py")))
    except PackageNotFoundError:
        return None
    match = re.search(r"^cuda\b.*= *'([\d.]+)'", file.read_text(), re.MULTILINE) if file.exists() else None
    return match[1] if match else None
