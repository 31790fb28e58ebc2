"""Describes the machine above every table, because figures of different machines cannot be compared."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np


def machine_line(*packages: str) -> str:
    """The processor, its cores and load, the kernel, and the versions of Python and of ``packages``."""
    load = os.getloadavg()[0]
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"{_processor()}, {len(os.sched_getaffinity(0))} cores (load {load:.1f} at the start), "
        f"Linux {platform.release()}, Python {platform.python_version()}, {versions}"
    )


def spread(values: list[float]) -> str:
    """Median, smallest and largest of repeats, with their number."""
    return f"{np.median(values):.3f} ({min(values):.3f} to {max(values):.3f}, n = {len(values)})"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
