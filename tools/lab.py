"""The lab: checks, trains and scores untrusted sources, each in processes of their own (paper §4.4, §5).

Nothing a job reports is believed where it matters: a training delivers weights, a second process turns images
without labels into logits, and the accuracy is computed here, from logits and labels that no job has seen.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from fairnad.candidate import CheckReport, Evaluation, Failure, FailureKind, Step
from fairnad.errors import SettingsError, StoppingError
from fairnad.ports import Retrained
from fairnad.recipe import Recipe
from fairnad.settings import LabSettings
from tools.checks import Checker
from tools.datasets.tasks import Task
from tools.delivery import differing_copy
from tools.exporter import Exporter
from tools.jobs.weights import from_safetensors, to_safetensors
from tools.sandbox.isolation import Level
from tools.sandbox.job import MALFORMED_REPORT, WEIGHTS_FILE, JobResult, Limits
from tools.sandbox.scratch import writing
from tools.sandbox.supervisor import Sandbox
from tools.scoring import Exam, Scorer, write_exam
from tools.training_jobs import TrainingJobs

DeviceName = Literal["cpu", "cuda"]


def device_name(setting: Literal["auto", "cpu", "cuda"]) -> DeviceName:
    """The kind of device candidates are trained on; ``auto`` is a GPU where there is one.

    Raises:
        SettingsError: a GPU is asked for, and there is none.
    """
    num_gpus = _num_gpus()
    if setting == "cuda" and not num_gpus:
        raise SettingsError("--lab.device cuda: expected an NVIDIA GPU, found no /dev/nvidia0; use cpu or auto")
    return "cuda" if setting != "cpu" and num_gpus else "cpu"


def environment(device: DeviceName) -> str:
    """What of this machine changes the numbers of a training: part of the recipe's digest."""
    return f"torch {version('torch').split('+')[0]} {device} 1 thread"


class TorchLab:
    """The lab of one run, for one task and the recipe of its search: :class:`fairnad.ports.Lab`.

    A training and its prediction hold one slot together. Checks have as many slots of their own: they take a fraction
    of a second, and the feedback loop of one candidate need not wait for the training of another.
    """

    def __init__(
        self, task: Task, recipe: Recipe, settings: LabSettings, scratch: Path, measured: Collection[str] = ()
    ) -> None:
        """Nothing is started or written yet.

        Args:
            measured: names of the costs that are limited, those among them that only a run shows are measured.
            scratch: a folder for this lab alone, on a disk with room for the task's images.

        Raises:
            SettingsError: the device asked for is not there.
        """
        self._task = task
        self._recipe = recipe
        self._data = scratch.resolve() / "images"
        limits = Limits(settings.train_seconds, int(settings.memory), int(settings.output))
        self._jobs = TrainingJobs(task, limits, self._data / "train-images.npy", self._data / "train-labels.npy")
        devices = _devices(device_name(settings.device), settings.slots)
        self.num_slots = len(devices)
        self._devices: asyncio.Queue[str] = asyncio.Queue()
        for device in devices:
            self._devices.put_nowait(device)
        self._sandbox = Sandbox(scratch, settings)
        self._checker = Checker(
            self._sandbox, settings, task.num_classes, task.image_size, self.num_slots, measured, devices[0]
        )
        self.exporter = Exporter(self._sandbox, self._checker, self._jobs)
        self._scorer = Scorer(self._sandbox, self._jobs, settings.integrity)
        self._validation: Exam | None = None
        self._held_out: Exam | None = None
        self._writing = asyncio.Lock()
        self._stopping = False

    @property
    def isolation(self) -> Level:
        """How jobs are shut in, known once the lab has started."""
        return self._sandbox.isolation

    async def start(self) -> None:
        """Write the images where jobs can map them, and warm the sandbox up.

        Raises:
            StorageError: the scratch folder cannot be written.
            LabError: the sandbox did not start.
        """
        with writing(self._data):
            await asyncio.to_thread(self._write_training_images)
            self._validation = await asyncio.to_thread(write_exam, self._data, "validation", self._task.validation)
        await self._sandbox.start()

    def stop(self) -> None:
        """Begin no new work; what is under way goes on."""
        self._stopping = True
        self._checker.stop()

    async def kill_jobs(self) -> None:
        """Kill what is under way, for good; whoever waits gets a :class:`~fairnad.errors.StoppingError`."""
        self.stop()
        await self._sandbox.kill_jobs()

    async def close(self) -> None:
        """Kill every job and end the sandbox."""
        self.stop()
        await self._sandbox.close()

    async def check(self, source: str) -> CheckReport | Failure:
        """Build, run forward and backward, count costs; a source that was checked before is not run again.

        Raises:
            StoppingError: the lab is being stopped.
            LabError: the sandbox broke.
        """
        return await self._checker.check(source)

    async def train(self, source: str, *, seed: int) -> Evaluation | Failure:
        """Train on the training split by the lab's recipe and score on the validation split.

        Raises:
            StoppingError: the lab is being stopped.
            LabError: the sandbox broke.
        """
        trained = await self.retrain(source, seed=seed, recipe=self._recipe)
        return trained if isinstance(trained, Failure) else trained.evaluation

    async def retrain(self, source: str, *, seed: int, recipe: Recipe) -> Retrained | Failure:
        """Train as :meth:`train` does, by any recipe of this task, and hand the weights out.

        Raises:
            StoppingError: the lab is being stopped.
            LabError: the sandbox broke.
        """
        assert self._validation is not None, "the lab was not started"
        checked = await self._checker.examine(source)
        if isinstance(checked, Failure):
            return checked
        async with self._slot() as device:
            job = self._jobs.train(
                source, recipe=recipe, seed=seed, device=device, num_weight_bytes=checked.num_weight_bytes
            )
            trained = await self._sandbox.run(job)
            losses = _train_loss(trained)
            if isinstance(losses, Failure):
                return losses
            weights = trained.deliveries[WEIGHTS_FILE]
            if name := differing_copy(weights, checked.layout, checked.copies):
                return Failure(Step.TRAIN, FailureKind.HIDDEN_WEIGHTS, f"{name} shares its weights no longer")
            scored = await self._scorer.score(source, weights, self._validation, seed=seed, device=device)
        if isinstance(scored, Failure):
            return scored
        evaluation = Evaluation(
            accuracy=scored.accuracy,
            recipe_digest=recipe.digest,
            costs=checked.report.costs,
            fingerprint=checked.report.fingerprint,
            train_loss=losses,
            seconds=trained.wall_seconds + scored.seconds,
            isolation=self.isolation,
            findings=checked.report.findings + scored.findings,
        )
        return Retrained(evaluation, to_safetensors(weights, checked.layout))

    async def hold_out(self, source: str, weights: bytes, *, seed: int) -> float | Failure:
        """The accuracy on the held-out images, which are loaded at the first call, of a trained network.

        Args:
            weights: what :meth:`retrain` handed out for the same source and seed.

        Raises:
            TaskError: the held-out images are missing.
            StorageError: the disk is full.
            StoppingError: the lab is being stopped.
            LabError: the sandbox broke.
        """
        checked = await self._checker.examine(source)
        if isinstance(checked, Failure):
            return checked
        raw = from_safetensors(weights, checked.layout)
        exam = await self._held_out_exam()
        async with self._slot() as device:
            scored = await self._scorer.score(source, raw, exam, seed=seed, device=device)
        return scored if isinstance(scored, Failure) else scored.accuracy

    async def _held_out_exam(self) -> Exam:
        async with self._writing:
            if self._held_out is None:
                split = await asyncio.to_thread(self._task.held_out)
                with writing(self._data):
                    self._held_out = await asyncio.to_thread(write_exam, self._data, "held-out", split)
        return self._held_out

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[str]:
        """A device to work on, held until the end; a GPU is named by its number."""
        device = await self._devices.get()
        try:
            if self._stopping:
                raise StoppingError("the training was not begun because the run is being stopped")
            yield device
        finally:
            self._devices.put_nowait(device)

    def _write_training_images(self) -> None:
        self._data.mkdir(parents=True, exist_ok=True)
        np.save(self._jobs.images, self._task.train.images)
        np.save(self._jobs.labels, self._task.train.labels)


def _train_loss(trained: JobResult) -> tuple[float, ...] | Failure:
    if trained.failure is not None:
        return trained.failure
    try:
        losses = _TrainClaims.model_validate(trained.report).train_loss
    except ValidationError:
        return Failure(Step.TRAIN, FailureKind.CRASH, MALFORMED_REPORT)
    return tuple(losses)


class _TrainClaims(BaseModel):
    """The form of a train job's report."""

    model_config = ConfigDict(extra="forbid", strict=True)

    train_loss: list[FiniteFloat]


def _num_gpus() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    num_files = sum(path.name[6:].isdigit() for path in Path("/dev").glob("nvidia[0-9]*"))
    return num_files if visible is None else min(num_files, len([name for name in visible.split(",") if name]))


def num_slots(settings: LabSettings) -> int:
    """How many trainings run at a time.

    Raises:
        SettingsError: the device asked for is not there.
    """
    return len(_devices(device_name(settings.device), settings.slots))


def _devices(device: DeviceName, num_slots: int) -> list[str]:
    """The device of each slot; GPUs take turns."""
    if device == "cpu":
        return ["cpu"] * (num_slots or len(os.sched_getaffinity(0)))
    num_gpus = _num_gpus()
    return [f"cuda:{slot % num_gpus}" for slot in range(num_slots or num_gpus)]


if __name__ == "__main__":
    from tools.check_command import main

    sys.exit(main())
