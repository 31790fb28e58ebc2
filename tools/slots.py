"""Training slots on this machine: devices, and the number of trainings that share each (paper §5.1)."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Literal, Protocol

from fairnad.errors import SettingsError
from fairnad.settings.search_settings import LabSettings
from tools.sandbox.isolation import Level
from tools.sandbox.job import Job, JobResult
from tools.sandbox.supervisor import Sandbox

TRAININGS_PER_GPU = 2
"""Trainings that share a GPU unless ``lab.slots`` says otherwise (paper §5.1)."""
DeviceName = Literal["cpu", "cuda"]


@dataclass(eq=False, slots=True)
class Slot:
    """A slot permits one running job; ``run`` runs it on ``device``, a torch device name.

    ``was_shared``: whether another training used the device meanwhile, and may have taken the memory needed.
    """

    device: str
    run: Callable[[Job], Awaitable[JobResult]]
    was_shared: bool = False


class Site(Protocol):
    """A place for trainings and predictions: this machine, or a cluster."""

    @property
    def num_slots(self) -> int:
        """The number of trainings that can run at a time."""

    @property
    def isolation(self) -> Level:
        """The weakest isolation of any job, known after the start."""

    async def start(self) -> None:
        """Prepare to run jobs."""

    def hold(self, *, alone: bool = False) -> AbstractAsyncContextManager[Slot]:
        """Wait for a slot and hold it until the context ends; ``alone``: with its device unshared."""

    async def kill_jobs(self) -> None:
        """Kill all jobs and refuse new ones."""

    async def close(self) -> None:
        """Kill all jobs and release all resources."""


class LocalSite:
    """This machine. Jobs run in the lab's sandbox, which the lab starts and closes."""

    def __init__(self, sandbox: Sandbox, devices: Sequence[str]) -> None:
        """``devices`` has one device name per slot."""
        self._sandbox = sandbox
        self._devices = [_Device(name, num_slots) for name, num_slots in Counter(devices).items()]
        self._changed = asyncio.Event()

    @property
    def num_slots(self) -> int:
        """The number of trainings that can run at a time."""
        return sum(device.num_slots for device in self._devices)

    @property
    def isolation(self) -> Level:
        """The isolation level of the sandbox."""
        return self._sandbox.isolation

    async def start(self) -> None:
        """Does nothing: the lab owns the sandbox."""

    @asynccontextmanager
    async def hold(self, *, alone: bool = False) -> AsyncIterator[Slot]:
        """A slot on the device with most free slots; ``alone``: on a device whose other slots stay empty.

        While a call waits to be alone, no training starts on its device.
        """
        device = await self._empty_device() if alone else await self._free_device()
        slot = Slot(device.name, self._sandbox.run)
        device.enter(slot)
        try:
            yield slot
        finally:
            device.slots.remove(slot)
            device.reserved = device.reserved and not alone
            self._changed.set()

    async def kill_jobs(self) -> None:
        """Kill all jobs and refuse new ones."""
        await self._sandbox.kill_jobs()

    async def close(self) -> None:
        """Does nothing: the lab owns the sandbox."""

    async def _free_device(self) -> _Device:
        await self._until(lambda: any(device.num_free for device in self._devices))
        return max(self._devices, key=lambda device: device.num_free)

    async def _empty_device(self) -> _Device:
        await self._until(lambda: any(not device.reserved for device in self._devices))
        device = min((device for device in self._devices if not device.reserved), key=lambda device: len(device.slots))
        device.reserved = True
        try:
            await self._until(lambda: not device.slots)
        except asyncio.CancelledError:
            device.reserved = False
            self._changed.set()
            raise
        return device

    async def _until(self, is_met: Callable[[], bool]) -> None:
        while not is_met():
            self._changed.clear()
            await self._changed.wait()


@dataclass(eq=False, slots=True)
class _Device:
    name: str
    num_slots: int
    slots: list[Slot] = field(default_factory=list)
    reserved: bool = False

    @property
    def num_free(self) -> int:
        """The number of free slots; 0 while one holds, or waits for, the device alone."""
        return 0 if self.reserved else self.num_slots - len(self.slots)

    def enter(self, slot: Slot) -> None:
        """Add a slot; all slots on the device count as shared if there are several."""
        self.slots.append(slot)
        if len(self.slots) > 1:
            for other in self.slots:
                other.was_shared = True


def device_name(settings: LabSettings) -> DeviceName:
    """The kind of device for trainings; ``auto`` is a GPU if this machine has one.

    Raises:
        SettingsError: a requested GPU is missing, or the device of a cluster is ``auto``.
    """
    if settings.address:
        if settings.device == "auto":
            raise SettingsError(
                "--lab.device: expected cpu or cuda beside --lab.address, found auto; all nodes must train alike"
            )
        return settings.device
    num_gpus = _num_gpus()
    if settings.device == "cuda" and not num_gpus:
        raise SettingsError("--lab.device cuda: expected an NVIDIA GPU, found no /dev/nvidia0; use cpu or auto")
    return "cuda" if settings.device != "cpu" and num_gpus else "cpu"


def environment(settings: LabSettings) -> str:
    """Properties of the machine that change results of a training; part of the recipe's digest.

    Raises:
        SettingsError: the requested device is missing.
    """
    threads = f"{settings.threads} thread{'s' if settings.threads > 1 else ''}"
    return f"torch {version('torch').split('+')[0]} {device_name(settings)} {threads}"


def local_devices(settings: LabSettings) -> list[str]:
    """The device of each slot of this machine: GPUs in turn, or CPU cores divided by threads.

    Raises:
        SettingsError: the requested device is missing, or there are more threads than cores.
    """
    if device_name(settings) == "cpu":
        return ["cpu"] * _num_cpu_slots(settings)
    num_gpus = _num_gpus()
    num_slots = settings.slots or num_gpus * TRAININGS_PER_GPU
    return [f"cuda:{slot % num_gpus}" for slot in range(num_slots)]


def measuring_device(settings: LabSettings) -> str:
    """The device for measure jobs; with a cluster, the CPU of this machine.

    Raises:
        SettingsError: the requested device is missing.
    """
    return "cpu" if settings.address else local_devices(settings)[0]


def _num_cpu_slots(settings: LabSettings) -> int:
    num_cores = len(os.sched_getaffinity(0))
    num_slots = settings.slots or max(1, num_cores // settings.threads)
    if settings.threads > 1 and num_slots * settings.threads > num_cores:
        raise SettingsError(
            f"--lab.threads {settings.threads}: expected up to {num_cores} threads in total, one per core, found "
            f"{num_slots * settings.threads} with {num_slots} slots; lower --lab.threads or --lab.slots"
        )
    return num_slots


def _num_gpus() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    num_files = sum(path.name[6:].isdigit() for path in Path("/dev").glob("nvidia[0-9]*"))
    return num_files if visible is None else min(num_files, len([name for name in visible.split(",") if name]))
