"""Where trainings run on this machine: devices, and how many trainings share each of them (paper §5.1)."""

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

DeviceName = Literal["cpu", "cuda"]


@dataclass(eq=False, slots=True)
class Slot:
    """What a training holds while it runs: ``run`` runs a job to its end or its limits, at this place.

    ``device`` is the name torch knows it by. ``was_shared`` says whether another training was at the device meanwhile,
    and so may have taken memory this one needed.
    """

    device: str
    run: Callable[[Job], Awaitable[JobResult]]
    was_shared: bool = False


class Site(Protocol):
    """Where trainings and predictions run: this machine, or a cluster."""

    @property
    def num_slots(self) -> int:
        """How many trainings can run at a time."""

    @property
    def isolation(self) -> Level:
        """How jobs are shut in where they are shut in worst, known once it has started."""

    async def start(self) -> None:
        """Get ready to run jobs."""

    def hold(self, *, alone: bool = False) -> AbstractAsyncContextManager[Slot]:
        """A slot, waited for and held until the end; ``alone``: with nothing else at its device."""

    async def kill_jobs(self) -> None:
        """Kill every running job and begin no other."""

    async def close(self) -> None:
        """Kill what runs and let everything go."""


class LocalSite:
    """This machine: jobs run in the lab's own sandbox, which the lab starts and closes."""

    def __init__(self, sandbox: Sandbox, devices: Sequence[str]) -> None:
        """Of ``devices``, one name a slot."""
        self._sandbox = sandbox
        self._devices = [_Device(name, num_slots) for name, num_slots in Counter(devices).items()]
        self._changed = asyncio.Event()

    @property
    def num_slots(self) -> int:
        """How many trainings can run at a time."""
        return sum(device.num_slots for device in self._devices)

    @property
    def isolation(self) -> Level:
        """How the sandbox shuts jobs in."""
        return self._sandbox.isolation

    async def start(self) -> None:
        """Nothing: the sandbox is the lab's."""

    @asynccontextmanager
    async def hold(self, *, alone: bool = False) -> AsyncIterator[Slot]:
        """A slot at the device with the most free ones; ``alone``: one whose other slots stay empty meanwhile.

        Who waits to be alone is waited for in turn: at that device no training begins any more.
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
        """Kill every running job and begin no other."""
        await self._sandbox.kill_jobs()

    async def close(self) -> None:
        """Nothing: the sandbox is the lab's."""

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

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
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
        """Slots a training may begin in; none where one is, or waits to be, alone."""
        return 0 if self.reserved else self.num_slots - len(self.slots)

    def enter(self, slot: Slot) -> None:
        """Add one who was waited for; whoever is there shares the device from now on."""
        self.slots.append(slot)
        if len(self.slots) > 1:
            for other in self.slots:
                other.was_shared = True


def device_name(settings: LabSettings) -> DeviceName:
    """The kind of device candidates are trained on; ``auto`` is a GPU where this machine has one.

    Raises:
        SettingsError: a GPU is asked for, and there is none; or the machines of a cluster would be left to guess.
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
    """What of the machine changes the numbers of a training: part of the recipe's digest.

    Raises:
        SettingsError: the device asked for is not there.
    """
    threads = f"{settings.threads} thread{'s' if settings.threads > 1 else ''}"
    return f"torch {version('torch').split('+')[0]} {device_name(settings)} {threads}"


def local_devices(settings: LabSettings) -> list[str]:
    """The device of each slot of this machine: GPUs take turns, cores are shared out by threads.

    Raises:
        SettingsError: the device asked for is not there, or the slots' threads would fight for cores.
    """
    if device_name(settings) == "cpu":
        return ["cpu"] * _num_cpu_slots(settings)
    num_gpus = _num_gpus()
    num_slots = settings.slots or num_gpus * settings.streams_per_gpu
    if num_slots > num_gpus * settings.streams_per_gpu:
        raise SettingsError(
            f"--lab.slots {num_slots}: expected up to {num_gpus * settings.streams_per_gpu}, "
            f"{settings.streams_per_gpu} on each of {num_gpus} GPUs; raise --lab.streams-per-gpu to share them more"
        )
    return [f"cuda:{slot % num_gpus}" for slot in range(num_slots)]


def measuring_device(settings: LabSettings) -> str:
    """The device of this machine that latency is measured on; beside a cluster, its processor.

    Raises:
        SettingsError: the device asked for is not there.
    """
    return "cpu" if settings.address else local_devices(settings)[0]


def _num_cpu_slots(settings: LabSettings) -> int:
    num_cores = len(os.sched_getaffinity(0))
    num_slots = settings.slots or max(1, num_cores // settings.threads)
    if settings.threads > 1 and num_slots * settings.threads > num_cores:
        raise SettingsError(
            f"--lab.threads {settings.threads}: expected up to {num_cores} threads in all, one a core, found "
            f"{num_slots * settings.threads} with {num_slots} slots; lower --lab.threads or --lab.slots"
        )
    return num_slots


def _num_gpus() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    num_files = sum(path.name[6:].isdigit() for path in Path("/dev").glob("nvidia[0-9]*"))
    return num_files if visible is None else min(num_files, len([name for name in visible.split(",") if name]))
