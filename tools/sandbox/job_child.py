"""The forked child: it gives up what it must not have, does one job, leaves a report, and is gone.

Nothing here is a boundary: the candidate runs in this very process and can reach all of it. What holds is outside,
in the fork server (limits, burial) and in the parent (no report is believed).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from tools.jobs import check_job, export_job, train_job
from tools.jobs.network_source import Complaint, complaint, read_source
from tools.sandbox import process_control
from tools.sandbox.job import REPORT_FILE, REQUEST_FILE, SOURCE_FILE, JobKind

_MAX_OPEN_FILES = 256
_RESERVE_BYTES = 64 * 2**20
"""Address space kept back for telling that all the rest is used up."""

_JOBS: Mapping[JobKind, Callable[[str, Mapping[str, Any]], dict[str, Any]]] = {
    JobKind.CHECK: check_job.check,
    JobKind.TRAIN: train_job.train,
    JobKind.PREDICT: train_job.predict,
    JobKind.EXPORT: export_job.export,
    JobKind.INFER: export_job.infer,
    JobKind.TRY_OUT: export_job.try_out,
}


def run(
    kind: JobKind,
    folder: Path,
    device: str,
    memory_bytes: int,
    cpu_seconds: float | None,
    *,
    output: int,
    parent: int,
) -> NoReturn:
    """Do the job in ``folder`` and end the process; called in the child right after the fork.

    The exit status is 0 where a whole report was left, be it a failure, and 1 otherwise.

    Args:
        device: on ``cuda`` the address space is not limited, since the driver reserves far more than it uses. That
            path was written without a GPU at hand and has not been run on one.
        output: the descriptor that becomes stdout and stderr.
        parent: the process id of the fork server.
    """
    status = 1
    try:
        _detach(output, parent)
        os.chdir(folder)
        _limit(memory_bytes, cpu_seconds, limit_memory=device == "cpu")
        try:
            report = {"result": _perform(kind)}
        except BaseException as error:  # noqa: BLE001 (whatever a candidate raises is its failure, SystemExit too)
            _release_reserve()
            report = {"failure": _claim(complaint(error))}
        _write_report(report)
        sys.stdout.flush()
        status = 0
    finally:
        try:
            if sys.exc_info()[1] is not None:
                traceback.print_exc()
        finally:
            # No exit handlers, no destructors, no threads: nothing of the candidate's runs after its job.
            os._exit(status)


def rehearse() -> None:
    """Do a check and a training step of a small network in this process, so that no job pays for first times."""
    with tempfile.TemporaryDirectory() as folder:
        before = Path.cwd()
        os.chdir(folder)
        try:
            check_job.check(_REHEARSAL, {"num_classes": 2, "image_size": 8, "seed": 0})
            train_job.rehearse(_REHEARSAL)
        finally:
            os.chdir(before)


_REHEARSAL = """
import torch.nn as nn
import torch.nn.functional as F

class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x))).flatten(2).transpose(1, 2)
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))
"""


def _detach(output: int, parent: int) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    process_control.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if descriptor > 2:
            # The one that listed them is closed by now.
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _limit(memory_bytes: int, cpu_seconds: float | None, *, limit_memory: bool) -> None:
    """Set the resource limits. The jail (Landlock, seccomp) belongs right behind them."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_OPEN_FILES, _MAX_OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (memory_bytes, memory_bytes))
    if cpu_seconds is not None:
        # Without room between the two limits the kernel kills at once and sends no signal that could be ignored.
        whole = max(1, math.ceil(cpu_seconds))
        resource.setrlimit(resource.RLIMIT_CPU, (whole, whole))
    if limit_memory:
        soft = process_control.address_space_bytes() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (soft, soft + _RESERVE_BYTES))


def _release_reserve() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _perform(kind: JobKind) -> dict[str, Any]:
    source = read_source(Path(SOURCE_FILE).read_bytes())
    return _JOBS[kind](source, json.loads(Path(REQUEST_FILE).read_bytes()))


def _claim(found: Complaint) -> dict[str, str]:
    return {"kind": str(found.kind), "message": found.message, "log_tail": found.log_tail}


def _write_report(report: Mapping[str, Any]) -> None:
    part = Path(REPORT_FILE + ".part")
    part.write_text(json.dumps(report))
    part.replace(REPORT_FILE)
