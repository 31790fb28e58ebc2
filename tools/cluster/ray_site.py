"""Runs trainings on a Ray cluster; nodes may join, leave or die at any time, and lost jobs run again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from fairnad.errors import FairnadError, LabError, SettingsError, StoppingError
from fairnad.settings.search_settings import LabSettings
from tools.cluster.connection import Demand, connect, find_places
from tools.cluster.node import Node, Unprepared, run_job
from tools.sandbox.isolation import Level
from tools.sandbox.job import Job, JobResult
from tools.slots import Slot

_MAX_LOSSES = 5
_LOOK_SECONDS = 1.0


class RaySite:
    """The cluster as a :class:`tools.slots.Site`.

    A slot permits one running job; Ray places it. The number of slots is the capacity of the living nodes, so that
    the predictions after a training do not wait for other trainings.
    """

    def __init__(self, settings: LabSettings) -> None:
        """Nothing is connected yet."""
        self._settings = settings
        self._demand = Demand.of(settings)
        self._ray: Any = None
        self._nodes: dict[str, asyncio.Task[Any]] = {}
        self._levels: dict[str, Level] = {}
        self._isolation: Level | None = None
        self._files: dict[Path, list[Any]] = {}
        self._numbers = itertools.count()
        self._running: set[Any] = set()
        self._num_places = 0
        self._num_held = 0
        self._changed = asyncio.Event()
        self._stopping = False

    @property
    def num_slots(self) -> int:
        """The number of trainings that can run at a time, as of the last query of the nodes."""
        return min(self._settings.slots or self._num_places, self._num_places)

    @property
    def isolation(self) -> Level:
        """The weakest level of the nodes at the start; weaker nodes that join later are refused."""
        assert self._isolation is not None, "the cluster was not joined"
        return self._isolation

    async def start(self) -> None:
        """Connect, and start the sandbox of every node.

        Raises:
            SettingsError: there is no cluster at the address, it has no room, or a node has another torch.
            LabError: the sandbox of a node did not start.
        """
        self._ray = await asyncio.to_thread(connect, self._settings)
        _keep_signal_handlers()
        places = await self._look()
        if not places:
            gpu = " and a GPU" if self._demand.num_gpus else ""
            raise SettingsError(
                f"--lab.address {self._settings.address}: expected a node with {self._demand.num_cpus} free CPUs{gpu}, "
                "found none; add one with: ray start --address=HOST:PORT"
            )
        await asyncio.gather(*map(self._prepare, places))
        self._isolation = max(self._levels.values(), default=Level.E)

    @asynccontextmanager
    async def hold(self, *, alone: bool = False) -> AsyncIterator[Slot]:
        """Permission for one running job; ``alone``: on an unshared GPU."""
        share = self._demand.num_gpus
        size = round(1 / share) if alone and share else 1
        demand = Demand(self._demand.num_cpus, 1) if alone and share else self._demand
        while not self.num_slots or (self._num_held and self._num_held + size > self.num_slots):
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _LOOK_SECONDS)
            await self._look()
        self._num_held += size
        try:
            yield Slot(self._settings.device, partial(self._run, demand), was_shared=0 < demand.num_gpus < 1)
        finally:
            self._num_held -= size
            self._changed.set()

    async def kill_jobs(self) -> None:
        """Kill all jobs and refuse new ones; waiting calls raise :class:`~fairnad.errors.StoppingError`."""
        self._stopping = True
        for node in self._actors().values():
            node.kill_jobs.remote()
        for reference in self._running:
            self._ray.cancel(reference)

    async def close(self) -> None:
        """Kill all jobs and stop the sandboxes; the cluster and the connection stay."""
        await self.kill_jobs()
        await asyncio.gather(*map(self._end, self._actors().values()))
        self._nodes.clear()

    async def _look(self) -> Mapping[str, int]:
        places = await asyncio.to_thread(find_places, self._ray, self._demand)
        self._num_places = sum(places.values())
        return places

    def _actors(self) -> dict[str, Any]:
        """The actors that are ready, by the id of their node."""
        ready = {node_id: task for node_id, task in self._nodes.items() if task.done() and not task.cancelled()}
        return {node_id: task.result() for node_id, task in ready.items() if task.exception() is None}

    async def _prepare(self, node_id: str) -> None:
        """Start a sandbox on a node, unless the node is lost."""
        if node_id not in self._nodes:
            self._nodes[node_id] = asyncio.create_task(self._start_node(node_id))
        try:
            await asyncio.shield(self._nodes[node_id])
        except self._losses:
            self._nodes.pop(node_id, None)

    async def _start_node(self, node_id: str) -> Any:
        at_node = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node_id, soft=False)
        actor = (
            self._ray.remote(Node)
            .options(num_cpus=0, scheduling_strategy=at_node, max_restarts=-1)
            .remote(self._settings)
        )
        found, level = await self._answer(actor.start.remote())
        if found != version("torch"):
            self._ray.kill(actor)
            raise SettingsError(
                f"node {node_id}: expected torch {version('torch')} as here, found {found}; install that version"
            )
        if self._isolation is not None and level > self._isolation:
            self._ray.kill(actor)
            raise SettingsError(
                f"node {node_id}: expected isolation {self._isolation} or better as on the other nodes, found "
                f"{level}; see docs/isolation.md"
            )
        self._levels[node_id] = level
        return actor

    async def _run(self, demand: Demand, job: Job) -> JobResult:
        """Run a job on any node with room, and again if the node was lost.

        Raises:
            LabError: the sandbox of a node broke, or the job was lost several times.
        """
        task = self._ray.remote(run_job).options(num_cpus=demand.num_cpus, num_gpus=demand.num_gpus, max_retries=0)
        files = {str(path): await self._share(path) for path in job.readable}
        num_losses, reason = 0, ""
        while num_losses < _MAX_LOSSES:
            if self._stopping:
                raise StoppingError(f"the {job.kind} job did not start because the run is being stopped")
            number = next(self._numbers)
            try:
                answer: JobResult | Unprepared = await self._answer(
                    task.remote(self._actors(), number, job, files), number
                )
            except self._losses as error:
                num_losses, reason = num_losses + 1, type(error).__name__
                continue
            if not isinstance(answer, Unprepared):
                return answer
            await self._prepare(answer.node_id)
        raise LabError(f"a {job.kind} job was lost {num_losses} times with the node it ran on ({reason})")

    async def _answer(self, reference: Any, number: int | None = None) -> Any:
        """The result of a remote task. A cancelled wait kills the job ``number``.

        Raises:
            FairnadError: raised by the task.
            RayError: the task was lost, see :attr:`_losses`.
        """
        self._running.add(reference)
        try:
            return await reference
        except asyncio.CancelledError:
            self._ray.cancel(reference)
            for node in self._actors().values():
                node.stop.remote(number)
            raise
        except self._ray.exceptions.TaskCancelledError as error:
            raise StoppingError("the job was killed because the run is being stopped") from error
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, FairnadError):
                raise type(error.cause)(*error.cause.args) from error
            raise
        finally:
            self._running.discard(reference)

    @property
    def _losses(self) -> tuple[type[Exception], ...]:
        """Ray's exceptions for a lost node, process or object."""
        errors = self._ray.exceptions
        return (
            errors.RayActorError,
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.LocalRayletDiedError,
            errors.ObjectLostError,
            errors.OutOfMemoryError,
            errors.ActorUnschedulableError,
        )

    async def _share(self, path: Path) -> list[Any]:
        """Put the bytes of a file into the cluster's store, once; each node fetches them once."""
        if path not in self._files:
            content = await asyncio.to_thread(np.fromfile, path, np.uint8)
            self._files[path] = [await asyncio.to_thread(self._ray.put, content)]
        return self._files[path]

    async def _end(self, node: Any) -> None:
        with contextlib.suppress(*self._losses):
            await node.close.remote()
        self._ray.kill(node)


def _keep_signal_handlers() -> None:
    """Restore the signal handlers, which Ray replaces by handlers that print a stack trace and end the process."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.getsignal(number))
