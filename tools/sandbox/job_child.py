"""The forked child: it closes descriptors, enters its jail, runs one job, writes a report and exits.

No Python here is a security boundary: the candidate runs in this process and can reach all of it. The boundaries are
the jail in the kernel, the fork server, which kills everything left over, and the parent, which trusts no report.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

from fairnad.domain.contract import Contract
from tools.jobs import check_job, deliveries, export_job, measure_job, source_policy, train_job
from tools.jobs.decorators import without_compiling_decorators
from tools.jobs.network_source import complaint, read_source
from tools.jobs.shape_trace import shape_trace
from tools.sandbox import jail, process_control
from tools.sandbox.isolation import Level
from tools.sandbox.job import REPORT_FILE, REQUEST_FILE, SOURCE_FILE, JobKind

_JOBS: Mapping[JobKind, Callable[[str, Mapping[str, Any]], dict[str, Any]]] = {
    JobKind.CHECK: check_job.check,
    JobKind.MEASURE: measure_job.measure,
    JobKind.TRAIN: train_job.train,
    JobKind.PREDICT: train_job.predict,
    JobKind.EXPORT: export_job.export,
    JobKind.INFER: export_job.infer,
    JobKind.TRY_OUT: export_job.try_out,
}


@dataclass(frozen=True, slots=True)
class Order:
    """A request for one job; ``files`` are the files it may write, each with its maximum length in bytes."""

    kind: JobKind
    folder: Path
    device: str
    wall_seconds: float
    cpu_seconds: float | None
    memory_bytes: int
    files: Mapping[str, int]
    readable: tuple[Path, ...]
    has_policy: bool

    @classmethod
    def parse(cls, request: Mapping[str, Any]) -> Self:
        """Parse a JSON object from the fork server's channel."""
        return cls(
            kind=JobKind(request["kind"]),
            folder=Path(request["folder"]),
            device=request["device"],
            wall_seconds=request["wall_seconds"],
            cpu_seconds=request["cpu_seconds"],
            memory_bytes=request["memory_bytes"],
            files=request["files"],
            readable=tuple(map(Path, request["readable"])),
            has_policy=request["has_policy"],
        )

    @property
    def allowance(self) -> jail.Allowance:
        """The limits and files of its jail."""
        return jail.Allowance(
            self.folder,
            self.readable,
            self.wall_seconds,
            self.cpu_seconds,
            self.memory_bytes,
            max(self.files.values()),
            with_gpu=self.device != "cpu",
        )


def run(order: Order, level: Level, *, server_pid: int, output: int) -> NoReturn:
    """Run the job in its folder and end the process; called in the child right after the fork.

    The exit status is 0 if a complete report was written, also of a failure, and 1 otherwise.

    Args:
        order: the job.
        level: its isolation.
        server_pid: the job dies with this process.
        output: the descriptor that becomes stdout and stderr.
    """
    status = 1
    try:
        detach(output, server_pid)
        os.chdir(order.folder)
        # The search for a temporary folder would try to write, which is forbidden.
        tempfile.tempdir = str(order.folder)
        # The compiler creates its cache folder unless it exists.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(order.folder)
        deliveries.prepare(order.files)
        jail.close(level, order.allowance)
        try:
            report = {"result": _perform(order)}
        except BaseException as error:  # noqa: BLE001 (whatever a candidate raises is its failure, SystemExit too)
            jail.release_reserve()
            found = complaint(error)
            report = {
                "failure": {
                    "kind": str(found.kind),
                    "message": found.message,
                    "log_tail": found.log_tail,
                    "shape_trace": shape_trace(error),
                }
            }
        deliveries.deliver(REPORT_FILE, json.dumps(report).encode())
        sys.stdout.flush()
        status = 0
    finally:
        try:
            if sys.exc_info()[1] is not None:
                traceback.print_exc()
        finally:
            # No exit handlers, destructors or threads: nothing of the candidate runs after its job.
            os._exit(status)


def rehearse() -> None:
    """Check and train a small network in this process, so that no job pays for first calls."""
    with tempfile.TemporaryDirectory() as folder:
        before = Path.cwd()
        os.chdir(folder)
        try:
            contract = Contract.for_images(image_size=8, num_classes=2)
            check_job.check(_REHEARSAL, {"contract": contract.to_json(), "seed": 0, "integrity": "reject"})
            train_job.rehearse(_REHEARSAL, contract)
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


def detach(output: int, parent: int) -> None:
    """Detach from the fork server: own session and streams, none of its descriptors, killed when it dies."""
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
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))


def _perform(order: Order) -> dict[str, Any]:
    source = without_compiling_decorators(read_source(Path(SOURCE_FILE).read_bytes()))
    if order.has_policy:
        source_policy.enforce(source)
        source_policy.guard_getattr()
    return _JOBS[order.kind](source, json.loads(Path(REQUEST_FILE).read_bytes()))
