"""Applies all isolation layers to the process of a job, after the fork and before it reads anything of the candidate.

The order matters: limits, then privileges, then files (Landlock binds the calling thread, so there must be only one),
then system calls, since the filter refuses the calls that set up the other layers.
"""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.sandbox import landlock, process_control, readable_paths, seccomp
from tools.sandbox.isolation import Level

_MAX_OPEN_FILES = 256
_MAX_TASKS = 4096
"""Used only without seccomp, which refuses to fork. Counts all processes of an ordinary user; root is exempt."""
_RESERVE_BYTES = 64 * 2**20
"""Address space reserved for reporting that memory ran out."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Limits and files of a job.

    ``cpu_seconds`` is the processor time of all threads together, ``None`` for no limit. ``memory_bytes`` comes on top
    of what the process already uses, ``file_bytes`` is the size of the largest delivery. A job reads the interpreter's
    files, its own ``folder`` and ``readable``.
    """

    folder: Path
    readable: Sequence[Path]
    wall_seconds: float
    cpu_seconds: float | None
    memory_bytes: int
    file_bytes: int
    with_gpu: bool


def close(level: Level, allowance: Allowance) -> None:
    """Apply all layers of a level to this process, irrevocably.

    With a GPU the address space is not limited, since the driver reserves far more than it uses, and the driver's
    device files stay accessible. This path follows the driver's documentation and was not tested on a GPU.

    Raises:
        OSError: a layer of this level cannot be applied.
    """
    _limit(allowance)
    if not level.has_seccomp:
        _lower(resource.RLIMIT_NPROC, _MAX_TASKS)
    if level.has_seccomp:
        process_control.refuse_inspection()
        process_control.renounce_privileges()
    if level.has_landlock:
        readable = [*readable_paths.readable(with_gpu=allowance.with_gpu), *allowance.readable, allowance.folder]
        landlock.restrict(readable, readable_paths.gpu_devices() if allowance.with_gpu else [])
    if level.has_seccomp:
        seccomp.install(with_gpu=allowance.with_gpu)


def release_reserve() -> None:
    """Release the reserved address space, to report a failure."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _limit(allowance: Allowance) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_OPEN_FILES, _MAX_OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (allowance.file_bytes, allowance.file_bytes))
    # Default: all cores busy for the whole wall-clock limit, so that this ends a job only if the fork server died. The
    # soft limit equals the hard limit: the kernel kills at once and sends no signal that the job could ignore.
    most = math.ceil(allowance.wall_seconds) * (os.cpu_count() or 1) + 1
    _lower(resource.RLIMIT_CPU, most if allowance.cpu_seconds is None else max(1, math.ceil(allowance.cpu_seconds)))
    if not allowance.with_gpu:
        soft = process_control.address_space_bytes() + allowance.memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (soft, soft + _RESERVE_BYTES))


def _lower(limit: int, wanted: int) -> None:
    """Set a limit unless a lower one already applies."""
    _, hard = resource.getrlimit(limit)
    lowest = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(limit, (lowest, lowest))
