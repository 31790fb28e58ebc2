"""Code for a node of the cluster: an actor with a warm sandbox, and a task that reserves resources for a job.

The task holds processors and a share of a GPU while its job runs, so that Ray schedules them. The sandbox of the node,
shared by its tasks, runs the job and returns raw bytes, which the search's machine validates.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from fairnad.settings.search_settings import LabSettings
from tools.cluster.connection import import_ray
from tools.sandbox.isolation import Level
from tools.sandbox.job import Job, JobResult
from tools.sandbox.supervisor import Sandbox

_FILES_FOLDER = "images"

Files = Mapping[str, list[Any]]
"""For each readable path, a list with a reference to its bytes; in a list, Ray does not fetch it eagerly."""


class Node:
    """The sandbox of one node; an actor."""

    def __init__(self, settings: LabSettings) -> None:
        # Ray hides GPUs from actors that request none; jobs get the device by name.
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        self._folder = tempfile.TemporaryDirectory(prefix="fairnad-")
        self._scratch = Path(self._folder.name)
        self._sandbox = Sandbox(self._scratch, settings)
        self._starting: asyncio.Task[None] | None = None
        self._fetching: dict[str, asyncio.Task[Path]] = {}
        self._running: dict[int, asyncio.Task[JobResult]] = {}

    async def start(self) -> tuple[str, Level]:
        """Start the sandbox, once; returns the version of torch and the isolation level of this node."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._sandbox.start())
        await asyncio.shield(self._starting)
        return version("torch"), self._sandbox.isolation

    async def run(self, number: int, job: Job, files: Files) -> JobResult:
        """Run a job whose readable files are on another machine."""
        await self.start()
        paths = {path: str(await self._fetch(path, reference)) for path, (reference,) in files.items()}
        request = {
            key: paths.get(value, value) if isinstance(value, str) else value for key, value in job.request.items()
        }
        moved = replace(job, request=request, readable=tuple(Path(paths[str(path)]) for path in job.readable))
        task = self._running[number] = asyncio.create_task(self._sandbox.run(moved))
        try:
            return await task
        finally:
            del self._running[number]

    async def stop(self, number: int) -> None:
        """Kill one job, if it runs here."""
        if task := self._running.get(number):
            task.cancel()

    async def kill_jobs(self) -> None:
        """Kill all jobs and refuse new ones."""
        await self._sandbox.kill_jobs()

    async def close(self) -> None:
        """Kill all jobs, stop the sandbox and remove the files."""
        await self._sandbox.close()
        self._folder.cleanup()

    async def _fetch(self, path: str, reference: Any) -> Path:
        """The copy of ``path`` on this node, fetched by the first job that needs it."""
        if path not in self._fetching:
            self._fetching[path] = asyncio.create_task(self._write(Path(path).name, reference))
        return await asyncio.shield(self._fetching[path])

    async def _write(self, name: str, reference: Any) -> Path:
        content: np.ndarray[Any, np.dtype[np.uint8]] = await reference
        file = self._scratch.resolve() / _FILES_FOLDER / name
        await asyncio.to_thread(file.parent.mkdir, exist_ok=True)
        await asyncio.to_thread(content.tofile, file)
        return file


@dataclass(frozen=True, slots=True)
class Unprepared:
    """The result of a task on a node that has no sandbox yet."""

    node_id: str


def run_job(nodes: Mapping[str, Any], number: int, job: Job, files: Files) -> JobResult | Unprepared:
    """Task that runs a job in the sandbox of its node.

    Args:
        nodes: the actors by node id.
        number: identifies the job for :meth:`Node.stop`.
    """
    ray = import_ray()
    node_id = ray.get_runtime_context().get_node_id()
    if node_id not in nodes:
        return Unprepared(node_id)
    if job.device == "cuda":
        (gpu,) = ray.get_gpu_ids()
        job = replace(job, device=f"cuda:{gpu}", request={**job.request, "device": f"cuda:{gpu}"})
    # Not ``ray.get``, during which Ray gives the task's processors to other tasks.
    result: JobResult = nodes[node_id].run.remote(number, job, files).future().result()
    return result
