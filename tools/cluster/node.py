"""What runs on a node of the cluster: a sandbox kept warm by an actor, and the task that lends a job its place.

A task holds what a training takes (processors, a share of a GPU) for as long as a job runs, so that Ray does the
sharing out; the job itself is run by the node's sandbox, which all tasks of the node share. What comes back are the raw
bytes that the sandbox has read and measured; they are judged where the search runs.
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
"""For each path a job may read, a list with one reference to its bytes: in a list, Ray fetches it only when asked."""


class Node:
    """The sandbox of one node; an actor."""

    def __init__(self, settings: LabSettings) -> None:
        # Ray hides the GPUs from an actor that has asked for none; the jobs are told which one is theirs.
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        self._folder = tempfile.TemporaryDirectory(prefix="fairnad-")
        self._scratch = Path(self._folder.name)
        self._sandbox = Sandbox(self._scratch, settings)
        self._starting: asyncio.Task[None] | None = None
        self._fetching: dict[str, asyncio.Task[Path]] = {}
        self._running: dict[int, asyncio.Task[JobResult]] = {}

    async def start(self) -> tuple[str, Level]:
        """Warm the sandbox up, once; the version of torch that trains here, and how jobs are shut in.

        Raises:
            LabError: it did not start.
        """
        if self._starting is None:
            self._starting = asyncio.create_task(self._sandbox.start())
        await asyncio.shield(self._starting)
        return version("torch"), self._sandbox.isolation

    async def run(self, number: int, job: Job, files: Files) -> JobResult:
        """Run a job whose readable files lie elsewhere.

        Raises:
            StoppingError: it was killed by :meth:`kill_jobs`.
            LabError: the sandbox broke.
        """
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
        """Kill every job and begin no other."""
        await self._sandbox.kill_jobs()

    async def close(self) -> None:
        """Kill every job, end the sandbox and remove the files."""
        await self._sandbox.close()
        self._folder.cleanup()

    async def _fetch(self, path: str, reference: Any) -> Path:
        """Where the bytes of ``path`` lie on this node; they are fetched by the first job that needs them."""
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
    """A task's answer where its node has joined so lately that it has no sandbox yet."""

    node_id: str


def run_job(nodes: Mapping[str, Any], number: int, job: Job, files: Files) -> JobResult | Unprepared:
    """Run a job by the sandbox of the node this task was placed on; a task.

    Args:
        nodes: the actors there are, by the id of their node.
        number: names the job for :meth:`Node.stop`.
    """
    ray = import_ray()
    node_id = ray.get_runtime_context().get_node_id()
    if node_id not in nodes:
        return Unprepared(node_id)
    if job.device == "cuda":
        (gpu,) = ray.get_gpu_ids()
        job = replace(job, device=f"cuda:{gpu}", request={**job.request, "device": f"cuda:{gpu}"})
    # Waited for by way of a future: while a task waits in ``ray.get``, Ray lends its processors to others.
    result: JobResult = nodes[node_id].run.remote(number, job, files).future().result()
    return result
