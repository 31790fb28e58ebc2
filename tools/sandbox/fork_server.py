"""The warm process every job is forked from: ``python -m tools.sandbox --channel FD --level A``.

It starts with a clean environment, imports torch once, and runs everything once that would cost each job seconds.
Then it reads requests from its channel, one JSON object per line: ``{"id", "output_bytes"}`` with the fields of
:class:`tools.sandbox.job_child.Order` starts a job, ``{"stop": id}`` kills one. It answers ``{"ready": true}`` once,
``{"id", "pid"}`` when a job has begun, and the fields of :class:`tools.sandbox.job.JobEnd` with ``id`` at its end.

Fork after ``import torch`` is safe only with a single thread and an untouched CUDA: a job on a GPU makes its own
context. The server trusts no job. It enforces the limits from outside, and no descendant of a job outlives it, whatever
group or session it moved to. When the channel closes, as when the parent dies, the server kills every job and ends.
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

from tools.sandbox import jail_self_test, job_child, late_compiler, process_control, readable_paths
from tools.sandbox.isolation import Level
from tools.sandbox.job import EndReason

_TAIL_BYTES = 8192
_READ_BYTES = 65536


def main() -> None:
    """Warm up, then serve until the channel closes."""
    parser = argparse.ArgumentParser(description="Serves the sandbox; not meant to be started by hand.")
    parser.add_argument("--channel", type=int, required=True, help="descriptor of a connected stream socket")
    parser.add_argument("--level", type=Level, choices=list(Level), required=True, help="isolation of the jobs")
    options = parser.parse_args()
    channel = socket.socket(fileno=options.channel)
    process_control.adopt_orphans()
    warm_up()
    if options.level.has_seccomp:
        process_control.refuse_inspection()
        jail_self_test.test_jail(options.level)
    ForkServer(channel, options.level).serve()


def warm_up() -> None:
    """Run once what every job would otherwise run first: lazy imports, kernel choice, one step of an optimizer.

    Torch's compiler is not loaded: few jobs need it, and they load it themselves.

    Raises:
        RuntimeError: a library started a thread, after which no fork is safe.
    """
    torch.set_num_threads(1)
    late_compiler.defer()
    job_child.rehearse()
    readable_paths.readable(with_gpu=False)
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
        """Kill the whole process group; the first reason is reported."""
        self.killed_for = self.killed_for or reason
        # If the child has no process group yet, it has no descendants either.
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError):
                kill(self.pid, signal.SIGKILL)


class ForkServer:
    """Supervises the jobs of one channel, in one thread."""

    def __init__(self, channel: socket.socket, level: Level) -> None:
        self._channel = channel
        self._level = level
        self._pid = os.getpid()
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
            # A broken channel means that the parent is gone, like a closed one.
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
        # Everything that can fail comes before the fork: a child that raises here would be a second server.
        order = job_child.Order.parse(request)
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            job_child.run(order, self._level, server_pid=self._pid, output=writer)
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
        """Read output of the job; returns whether there may be more."""
        try:
            received = os.read(job.pipe, _READ_BYTES)
        except BlockingIOError:
            return False
        if not received:
            # The job closed its output and runs on: the end of file would wake the selector again and again.
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
            # Reaped later: until the job's group is killed, its number must stay taken.
            dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if dead is None:
                return
            if dead.si_pid in self._jobs:
                self._end(self._jobs.pop(dead.si_pid))
            else:
                os.waitpid(dead.si_pid, 0)

    def _end(self, job: _RunningJob) -> None:
        """Reap a dead job, kill everything it left running, and report it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
        # Read only what is available: a living descendant may keep the pipe open.
        while job.pipe in self._selector.get_map() and self._read_output(job):
            pass
        if job.pipe in self._selector.get_map():
            self._selector.unregister(job.pipe)
        os.close(job.pipe)
        _, status, usage = os.wait4(job.pid, 0)
        self._kill_orphans()
        code, cpu_seconds = os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
        # The kernel enforces the limit in ticks and reports measured time: the two differ a little.
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

    def _kill_orphans(self) -> None:
        """Kill and reap all children that are not jobs: processes of dead jobs, which this process adopted."""
        while orphans := process_control.child_pids() - self._jobs.keys():
            for pid in orphans:
                os.kill(pid, signal.SIGKILL)
            for pid in orphans:
                os.waitpid(pid, 0)

    def _kill_everything(self) -> None:
        for job in self._jobs.values():
            job.kill(EndReason.STOPPED)
        self._jobs.clear()
        self._kill_orphans()

    def _send(self, message: dict[str, Any]) -> None:
        self._channel.sendall(json.dumps(message).encode() + b"\n")
