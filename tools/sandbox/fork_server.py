"""The warm process every job is forked from: ``python -m tools.sandbox --channel FD --level A``.

It is executed with a clean environment, imports torch once, warms up what would cost each job seconds, and then
reads requests from its channel, one JSON object a line: ``{"id", "output_bytes"}`` with the fields of
:class:`tools.sandbox.job_child.Order` starts a job, ``{"stop": id}`` kills one. It answers ``{"ready": true}`` once,
then ``{"id", "pid"}`` when a job has begun and those of :class:`tools.sandbox.job.JobEnd` with its ``id`` when it has
ended.

Fork after ``import torch`` is safe with a single thread only, and CUDA must not have been touched: a job on a GPU
makes a context of its own. The server trusts no job: it enforces the limits from outside, and no descendant of a
job, whatever group or session it moved to, outlives the job. When the channel closes, which it does when the
parent dies, every job is killed and the server ends.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import time
from dataclasses import dataclass, field
from typing import Any

import torch

from tools.sandbox import jail_self_test as trial
from tools.sandbox import job_child, late_compiler, process_control
from tools.sandbox import readable_paths as places
from tools.sandbox.isolation import Level
from tools.sandbox.job import EndReason

_TAIL_BYTES = 8192
_READ_BYTES = 65536


def main() -> None:
    """Warm up, then serve until the channel closes."""
    parser = argparse.ArgumentParser(description="Serves the sandbox; not meant to be started by hand.")
    parser.add_argument("--channel", type=int, required=True, help="descriptor of a connected stream socket")
    parser.add_argument("--level", type=Level, choices=list(Level), required=True, help="how jobs are shut in")
    options = parser.parse_args()
    channel = socket.socket(fileno=options.channel)
    process_control.adopt_orphans()
    warm_up()
    if options.level.has_seccomp:
        process_control.refuse_inspection()
        trial.try_jail(options.level)
    house = job_child.House(options.level, server_pid=os.getpid())
    ForkServer(channel, house).serve()


def warm_up() -> None:
    """Do once what every job would otherwise do first: lazy imports, kernel choice, one step of an optimizer.

    Torch's compiler alone is left out: nearly no job needs it, and one that does loads it itself.

    Raises:
        RuntimeError: a library started a thread, after which no fork is safe.
    """
    torch.set_num_threads(1)
    late_compiler.put_off()
    job_child.rehearse()
    places.readable(with_gpu=False)
    if process_control.num_threads() != 1:
        raise RuntimeError(f"expected one thread after the warm-up, found {process_control.num_threads()}")
    gc.collect()
    gc.freeze()
    gc.enable()


@dataclass(eq=False)
class _RunningJob:
    id: int
    pid: int
    pipe: int
    started: float
    wall_seconds: float
    cpu_seconds: float | None
    output_bytes: int
    tail: bytearray = field(default_factory=bytearray)
    num_printed: int = 0
    killed_for: EndReason | None = None

    @property
    def deadline(self) -> float:
        return self.started + self.wall_seconds

    def kill(self, reason: EndReason) -> None:
        """Kill the whole process group; the first reason is the one that is reported."""
        self.killed_for = self.killed_for or reason
        # The child may not have made its group yet: then it has no descendants either.
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError):
                kill(self.pid, signal.SIGKILL)


class ForkServer:
    """Supervises the jobs of one channel, in one thread."""

    def __init__(self, channel: socket.socket, house: job_child.House) -> None:
        self._channel = channel
        self._house = house
        self._lines = bytearray()
        self._jobs: dict[int, _RunningJob] = {}
        self._selector = selectors.DefaultSelector()
        self._closing = False

    def serve(self) -> None:
        """Start, watch and end jobs until the channel closes; then kill what is left."""
        wakeup, wakeup_writer = socket.socketpair()
        wakeup.setblocking(False)
        wakeup_writer.setblocking(False)
        signal.set_wakeup_fd(wakeup_writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_terminate)
        process_control.die_with_parent(signal.SIGTERM)
        self._selector.register(wakeup, selectors.EVENT_READ, lambda: wakeup.recv(_READ_BYTES))
        self._selector.register(self._channel, selectors.EVENT_READ, self._read_requests)
        try:
            # A broken channel is the parent's end, as a closed one is.
            with contextlib.suppress(ConnectionError):
                self._send({"ready": True})
                while not self._closing:
                    for key, _ in self._selector.select(self._seconds_to_deadline()):
                        key.data()
                    self._enforce_deadlines()
                    self._reap()
        finally:
            self._kill_everything()

    def _on_terminate(self, *_: object) -> None:
        self._closing = True

    def _read_requests(self) -> None:
        received = self._channel.recv(_READ_BYTES)
        if not received:
            self._closing = True
        self._lines += received
        *lines, rest = self._lines.split(b"\n")
        self._lines = rest
        for line in lines:
            request = json.loads(line)
            if "stop" in request:
                self._stop(request["stop"])
            else:
                self._start(request)

    def _start(self, request: dict[str, Any]) -> None:
        # Everything that could go wrong comes before the fork: a child that raises here would be a second server.
        order = job_child.Order.parse(request)
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            job_child.run(order, self._house, output=writer)
        os.close(writer)
        job = _RunningJob(
            request["id"], pid, reader, started, order.wall_seconds, order.cpu_seconds, request["output_bytes"]
        )
        self._jobs[pid] = job
        self._selector.register(reader, selectors.EVENT_READ, lambda: self._read_output(job))
        self._send({"id": job.id, "pid": pid})

    def _stop(self, job_id: int) -> None:
        for job in self._jobs.values():
            if job.id == job_id:
                job.kill(EndReason.STOPPED)

    def _read_output(self, job: _RunningJob) -> bool:
        """Take what the job has printed; whether there may be more."""
        try:
            received = os.read(job.pipe, _READ_BYTES)
        except BlockingIOError:
            return False
        if not received:
            # Closed by the job, which runs on: an end of file would wake the selector for ever.
            self._selector.unregister(job.pipe)
            return False
        job.num_printed += len(received)
        job.tail = (job.tail + received)[-_TAIL_BYTES:]
        if job.num_printed > job.output_bytes:
            job.kill(EndReason.OUTPUT)
        return job.num_printed <= job.output_bytes

    def _seconds_to_deadline(self) -> float | None:
        deadlines = [job.deadline for job in self._jobs.values() if job.killed_for is None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _enforce_deadlines(self) -> None:
        now = time.monotonic()
        for job in self._jobs.values():
            if now >= job.deadline:
                job.kill(EndReason.TIME)

    def _reap(self) -> None:
        while process_control.child_pids():
            # The dead are looked at first and reaped later: the number of a job's group must stay taken till then.
            dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if dead is None:
                return
            if dead.si_pid in self._jobs:
                self._end(self._jobs.pop(dead.si_pid))
            else:
                os.waitpid(dead.si_pid, 0)

    def _end(self, job: _RunningJob) -> None:
        """Bury a dead job with everything it left running, and report it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
        # Up to what is there now and no further: a descendant that lives on may hold the pipe open.
        while job.pipe in self._selector.get_map() and self._read_output(job):
            pass
        if job.pipe in self._selector.get_map():
            self._selector.unregister(job.pipe)
        os.close(job.pipe)
        _, status, usage = os.wait4(job.pid, 0)
        self._bury_orphans()
        code, cpu_seconds = os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
        # The kernel enforces the limit by counting ticks, and tells the time it has measured: the two differ a little.
        if code == -signal.SIGKILL and job.cpu_seconds is not None and cpu_seconds >= 0.9 * job.cpu_seconds:
            job.killed_for = job.killed_for or EndReason.CPU_TIME
        self._send(
            {
                "id": job.id,
                "reason": job.killed_for or (EndReason.EXIT if code >= 0 else EndReason.SIGNAL),
                "code": abs(code),
                "wall_seconds": time.monotonic() - job.started,
                "cpu_seconds": cpu_seconds,
                "output": job.tail.decode("utf-8", "replace"),
            }
        )

    def _bury_orphans(self) -> None:
        """Kill and reap every child that is no job: what dead jobs left behind has been adopted."""
        while orphans := process_control.child_pids() - self._jobs.keys():
            for pid in orphans:
                os.kill(pid, signal.SIGKILL)
            for pid in orphans:
                os.waitpid(pid, 0)

    def _kill_everything(self) -> None:
        for job in self._jobs.values():
            job.kill(EndReason.STOPPED)
        self._jobs.clear()
        self._bury_orphans()

    def _send(self, message: dict[str, Any]) -> None:
        self._channel.sendall(json.dumps(message).encode() + b"\n")
