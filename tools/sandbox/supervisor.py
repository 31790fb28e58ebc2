"""The parent's side of the sandbox: sends jobs to the fork server and reads their results.

The fork server runs with a clean environment, so that no key of the parent is in the memory of a job. It is started
once and kept warm. If it dies, it is restarted and the running jobs run once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import resource
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fairnad.errors import LabError, SettingsError, StoppingError
from fairnad.open_files import is_short, shortage_text
from fairnad.settings.search_settings import LabSettings
from tools.sandbox.isolation import JOBS_FOLDER, Level, SandboxFolders, choose, wrapper
from tools.sandbox.job import EndReason, Job, JobEnd, JobResult, read_result, write_folder
from tools.sandbox.readable_paths import CHECKOUT
from tools.sandbox.scratch import check_room, writing

_START_SECONDS = 180
_LINE_BYTES = 2**20
_KEPT_VARIABLES = ("PATH", "LANG", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "CUDA_VISIBLE_DEVICES")


class Sandbox:
    """Runs any number of jobs at a time, each in an own process and folder."""

    def __init__(self, scratch: Path, settings: LabSettings | None = None) -> None:
        """Nothing is started yet.

        Args:
            scratch: a folder for this sandbox only; job folders of a killed predecessor are removed. Resolved here,
                since the fork server has another working directory.
            settings: isolation and source policy.
        """
        self._settings = settings or LabSettings()
        self._scratch = scratch = scratch.resolve()
        self._level: Level | None = None
        self._wrapper: list[str] = []
        self._jobs_folder = scratch / JOBS_FOLDER
        self._log = scratch / "fork-server.log"
        self._numbers = itertools.count()
        self._server: _ForkServer | None = None
        self._starting = asyncio.Lock()
        self._stopping = False

    @property
    def isolation(self) -> Level:
        """The isolation level, known once the sandbox has started."""
        assert self._level is not None, "the sandbox was not started"
        return self._level

    async def start(self) -> None:
        """Determine the isolation level, start the fork server and wait some seconds until it is warm.

        Raises:
            SettingsError: this machine does not support the requested isolation, or too few files may be open.
            StorageError: the scratch folder cannot be written.
            LabError: the fork server did not start.
        """
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if is_short(limit):
            raise SettingsError(shortage_text(limit))
        with writing(self._jobs_folder):
            await asyncio.to_thread(_make_empty, self._jobs_folder)
        folders = SandboxFolders.below(self._scratch, self._settings)
        self._level = await asyncio.to_thread(choose, self._settings, folders)
        self._wrapper = await asyncio.to_thread(wrapper, self._level, folders)
        await self._warm_server()

    async def run(self, job: Job) -> JobResult:
        """Run one job, and run it once more if the fork server died.

        Raises:
            StoppingError: the job was killed by :meth:`kill_jobs`, or the sandbox is closed.
            StorageError: the disk is full.
            LabError: the fork server died both times, or did not start again.
        """
        for _ in range(2):
            server = await self._warm_server()
            try:
                return await self._run_once(server, job)
            except _ServerLostError:
                continue
        last_line = await asyncio.to_thread(_last_line, self._log)
        raise LabError(f"the fork server died twice during a {job.kind} job: {last_line} ({self._log})")

    async def kill_jobs(self) -> None:
        """Kill all jobs and refuse new ones; waiting calls raise :class:`~fairnad.errors.StoppingError`."""
        self._stopping = True
        if self._server is not None:
            self._server.stop_all()

    async def close(self) -> None:
        """Kill every job, end the fork server and remove the job folders."""
        self._stopping = True
        async with self._starting:
            if self._server is not None:
                await self._server.close()
        await asyncio.to_thread(shutil.rmtree, self._jobs_folder, ignore_errors=True)

    async def _warm_server(self) -> _ForkServer:
        async with self._starting:
            self._refuse_if_stopping()
            if self._server is None or self._server.lost:
                self._server = await _ForkServer.start(self._log, self.isolation, self._wrapper)
            return self._server

    def _refuse_if_stopping(self) -> None:
        if self._stopping:
            raise StoppingError("the job did not start because the sandbox is being stopped")

    async def _run_once(self, server: _ForkServer, job: Job) -> JobResult:
        number = next(self._numbers)
        folder = self._jobs_folder / str(number)
        try:
            with writing(folder):
                await asyncio.to_thread(write_folder, folder, job)
            self._refuse_if_stopping()
            has_policy = job.has_policy and self._settings.source_policy
            end = await server.run(number, folder, replace(job, has_policy=has_policy))
            if end.reason is EndReason.STOPPED:
                raise StoppingError(f"the {job.kind} job was killed because the run is being stopped")
            result = await asyncio.to_thread(read_result, folder, job, end)
            if result.failure is not None:
                await asyncio.to_thread(check_room, folder)
            return result
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


class _ServerLostError(Exception):
    """The fork server died before or during a job."""


class _ForkServer:
    """One process of the fork server."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        level: Level,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.lost = False
        self._process = process
        self._level = level
        self._reader = reader
        self._writer = writer
        self._ends: dict[int, asyncio.Future[JobEnd | None]] = {}
        self._pids: dict[int, int] = {}
        self._listener: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, log: Path, level: Level, wrapping: list[str]) -> _ForkServer:
        """Start the server and wait until it is warm.

        Raises:
            LabError: it ended, or was not warm in three minutes.
        """
        ours, theirs = socket.socketpair()
        with theirs, await asyncio.to_thread(log.open, "ab") as output:
            process = await asyncio.create_subprocess_exec(
                *wrapping,
                *(sys.executable, "-P", "-m", "tools.sandbox", "--channel", str(theirs.fileno())),
                *("--level", level),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_clean_environment(),
                pass_fds=[theirs.fileno()],
                # In a session of its own, Ctrl-C in the terminal does not reach it: the parent decides what stops.
                start_new_session=True,
            )
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_LINE_BYTES)
        server = cls(process, level, reader, writer)
        ready = b""
        try:
            async with asyncio.timeout(_START_SECONDS):
                ready = await reader.readline()
        except TimeoutError as error:
            raise LabError(f"the fork server was not warm after {_START_SECONDS} seconds ({log})") from error
        finally:
            if not ready:
                await server.close()
        if not ready:
            last_line = await asyncio.to_thread(_last_line, log)
            raise LabError(f"the fork server did not start: {last_line} ({log})")
        server._listener = asyncio.create_task(server._listen())
        return server

    async def run(self, number: int, folder: Path, job: Job) -> JobEnd:
        """Let the server run a job whose folder is prepared. A cancelled call kills the job and waits for its end.

        Raises:
            _ServerLostError: the server died before the job ended.
        """
        if self.lost:
            raise _ServerLostError
        end: asyncio.Future[JobEnd | None] = asyncio.get_running_loop().create_future()
        self._ends[number] = end
        self._send(
            {
                "id": number,
                "kind": job.kind,
                "folder": str(folder),
                "device": job.device,
                "wall_seconds": job.limits.wall_seconds,
                "cpu_seconds": job.limits.cpu_seconds,
                "memory_bytes": job.limits.memory_bytes,
                "output_bytes": job.limits.output_bytes,
                "files": job.files,
                "readable": [str(path) for path in job.readable],
                "has_policy": job.has_policy,
            }
        )
        try:
            await asyncio.wait([end])
        except asyncio.CancelledError:
            self._send({"stop": number})
            await asyncio.wait([end])
            raise
        result = end.result()
        if result is None:
            raise _ServerLostError
        return result

    def stop_all(self) -> None:
        """Kill every running job."""
        for number in self._ends:
            self._send({"stop": number})

    async def close(self) -> None:
        """Close the channel, upon which the server kills its jobs and ends, and wait for that."""
        self._writer.close()
        if self._listener is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        else:
            await asyncio.wait([self._listener])
        await self._process.wait()

    def _send(self, message: Mapping[str, Any]) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")

    async def _listen(self) -> None:
        """Pass the server's messages to the waiting calls until the server ends."""
        try:
            with contextlib.suppress(ConnectionError):
                # An incomplete line comes from a server that died while writing it.
                while (line := await self._reader.readline()).endswith(b"\n"):
                    self._take(json.loads(line))
        finally:
            self._lose()

    def _take(self, message: dict[str, Any]) -> None:
        number = message.pop("id")
        if "pid" in message:
            self._pids[number] = message["pid"]
            return
        del self._pids[number]
        end = JobEnd(**{**message, "reason": EndReason(message["reason"])})
        self._ends.pop(number).set_result(end)

    def _lose(self) -> None:
        self.lost = True
        self._writer.close()
        # The jobs died with the server, but not their own children, unless they are in the server's namespaces, which
        # end with it and whose process ids are those of other processes here.
        for pid in self._pids.values() if not self._level.has_namespaces else ():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        for end in self._ends.values():
            end.set_result(None)
        self._ends.clear()


def _clean_environment() -> dict[str, str]:
    """The environment of the fork server and every job, without any key of the parent."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return kept | {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONDONTWRITEBYTECODE": "1",
        # A candidate that iterates over a set is built the same way by every server process.
        "PYTHONHASHSEED": "0",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")
