"""Closes the jail around this process: a job's, after the fork and before anything of the candidate's is read.

The order matters. Limits first, then privileges, then files (Landlock must hold before there is a second thread), then
system calls, since the filter refuses what the other layers are put up with.
"""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.sandbox import landlock, process_control, seccomp
from tools.sandbox import readable_paths as places
from tools.sandbox.isolation import Level

_MAX_OPEN_FILES = 256
_MAX_TASKS = 4096
"""For an ordinary user without a filter that refuses to fork: all the user's processes are counted, as root none."""
_RESERVE_BYTES = 64 * 2**20
"""Address space kept back for telling that all the rest is used up."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a job may take and see.

    ``cpu_seconds`` is processor time of all threads together, ``None`` where the wall clock alone is to end the job.
    ``memory_bytes`` are beyond what the process has, ``file_bytes`` the largest delivery; ``readable`` are files beside
    the interpreter's and ``folder``, the job's own.
    """

    folder: Path
    readable: Sequence[Path]
    wall_seconds: float
    cpu_seconds: float | None
    memory_bytes: int
    file_bytes: int
    with_gpu: bool


def close(level: Level, allowance: Allowance) -> None:
    """Shut this process in for good.

    With a GPU the address space is not limited, since the driver reserves far more than it uses, and the driver's
    device files stay open to it. That path was written by the driver's documentation and has not been run on a GPU.

    Raises:
        OSError: a layer of this level cannot be put up.
    """
    _limit(allowance)
    if not level.has_seccomp:
        _lower(resource.RLIMIT_NPROC, _MAX_TASKS)
    if level.has_seccomp:
        process_control.refuse_inspection()
        process_control.renounce_privileges()
    if level.has_landlock:
        readable = [*places.readable(with_gpu=allowance.with_gpu), *allowance.readable, allowance.folder]
        landlock.restrict(readable, places.gpu_devices() if allowance.with_gpu else [])
    if level.has_seccomp:
        seccomp.install(with_gpu=allowance.with_gpu)


def release_reserve() -> None:
    """Give what is kept back for telling of a failure."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _limit(allowance: Allowance) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_OPEN_FILES, _MAX_OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (allowance.file_bytes, allowance.file_bytes))
    # Without a limit of its own, every core busy for the whole time: the wall clock comes first, unless whoever watches
    # it is gone. Soft and hard limit are one, so that the kernel kills and sends no signal that could be ignored.
    most = math.ceil(allowance.wall_seconds) * (os.cpu_count() or 1) + 1
    _lower(resource.RLIMIT_CPU, most if allowance.cpu_seconds is None else max(1, math.ceil(allowance.cpu_seconds)))
    if not allowance.with_gpu:
        soft = process_control.address_space_bytes() + allowance.memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (soft, soft + _RESERVE_BYTES))


def _lower(limit: int, wanted: int) -> None:
    """Set a limit, where a lower one does not hold already."""
    _, hard = resource.getrlimit(limit)
    lowest = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(limit, (lowest, lowest))
