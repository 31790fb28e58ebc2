"""The lab: checks, trains and scores untrusted sources in separate processes (paper §4.4, §5).

Reports of jobs are not trusted: a training delivers weights, another process predicts images without labels, and this
process computes the score from these outputs and labels that no job has seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from fairnad.domain.recipe import Recipe
from fairnad.errors import SettingsError, StoppingError
from fairnad.ports import InSlot, Retrained
from fairnad.records.candidate import CheckReport, Evaluation, Failure, FailureKind, Step
from fairnad.records.slot_use import SlotUse
from fairnad.settings.search_settings import LabSettings
from tools.checks import Checked, Checker
from tools.datasets.tasks import Task
from tools.delivery import changed_table, differing_copy
from tools.exporter import Exporter
from tools.jobs.weights import from_safetensors, to_safetensors
from tools.sandbox.isolation import Level
from tools.sandbox.job import MALFORMED_REPORT, WEIGHTS_FILE, JobResult
from tools.sandbox.scratch import writing
from tools.sandbox.supervisor import Sandbox
from tools.scoring import BlindSplit, Scorer, write_blind_split
from tools.slot_meter import SlotMeter
from tools.slots import LocalSite, Site, Slot, local_devices, measuring_device
from tools.training_jobs import TrainingJobs, snapshot_names, training_limits

_COMPILABLE = """
import torch.nn as nn

class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.LazyLinear(num_classes)

    def forward(self, x):
        return self.head(x.flatten(1))
"""


class TorchLab:
    """The lab of one run, for one task and the recipe of its search: :class:`fairnad.ports.Lab`.

    A training and its predictions share one slot; a training that runs out of memory on a shared device is repeated
    once, alone. Checks have own slots on this machine, so that they do not wait for trainings.
    """

    def __init__(
        self, task: Task, recipe: Recipe, settings: LabSettings, scratch: Path, measured: Collection[str] = ()
    ) -> None:
        """Nothing is started or written yet.

        Args:
            measured: names of the limited costs; those that need a measurement are measured.
            scratch: a folder for this lab only, on a disk with room for the task's images.

        Raises:
            SettingsError: the requested device is missing, or the slots do not fit the machine.
        """
        self._task = task
        self._recipe = recipe
        self._data = scratch.resolve() / "images"
        images, labels = self._data / "train-images.npy", self._data / "train-labels.npy"
        self._jobs = TrainingJobs(task, training_limits(settings), images, labels, settings.threads)
        self._validate_every = settings.validate_every
        self._sandbox = Sandbox(scratch, settings)
        self._site = _make_site(self._sandbox, settings)
        num_checks = settings.slots or len(os.sched_getaffinity(0))
        self._checker = Checker(
            self._sandbox, settings, task.contract, num_checks, measured, measuring_device(settings)
        )
        self.exporter = Exporter(self._sandbox, self._checker, self._jobs)
        self._scorer = Scorer(self._jobs, settings.integrity)
        self._validation: BlindSplit | None = None
        self._held_out: BlindSplit | None = None
        self._meter = SlotMeter()
        self._writing = asyncio.Lock()
        self._stopping = False

    @property
    def isolation(self) -> Level:
        """The weakest isolation of any job, known once the lab has started."""
        return max(self._sandbox.isolation, self._site.isolation)

    @property
    def num_slots(self) -> int:
        """The number of trainings that run at a time."""
        return self._site.num_slots

    async def start(self) -> None:
        """Write the images for jobs to map, and start the sandbox.

        Raises:
            StorageError: the scratch folder cannot be written.
            SettingsError: the cluster cannot be reached, or does not support the settings.
            LabError: the sandbox did not start.
        """
        with writing(self._data):
            await asyncio.to_thread(self._data.mkdir, parents=True, exist_ok=True)
            await asyncio.to_thread(np.save, self._jobs.images, self._task.train.images)
            await asyncio.to_thread(np.save, self._jobs.labels, self._task.train.labels)
            self._validation = await asyncio.to_thread(
                write_blind_split, self._data, "validation", self._task.validation
            )
        await self._sandbox.start()
        await self._site.start()
        if self._recipe.compiled:
            await self._try_compiler()

    def stop(self) -> None:
        """Start no new work; running work continues."""
        self._stopping = True
        self._checker.stop()

    async def kill_jobs(self) -> None:
        """Kill all jobs and refuse new ones; waiting calls raise :class:`~fairnad.errors.StoppingError`."""
        self.stop()
        await asyncio.gather(self._site.kill_jobs(), self._sandbox.kill_jobs())

    async def close(self) -> None:
        """Kill all jobs and stop the sandbox."""
        self.stop()
        await self._site.close()
        await self._sandbox.close()

    async def check(self, source: str) -> CheckReport | Failure:
        """Build a source, run it forward and backward and count its costs; results are remembered."""
        return await self._checker.check(source)

    async def train(self, source: str, *, seed: int, in_slot: InSlot = contextlib.nullcontext) -> Evaluation | Failure:
        """Train on the training split by the lab's recipe and score on the validation split.

        Args:
            in_slot: entered while the training holds a slot.
        """

        @contextlib.contextmanager
        def metered() -> Iterator[None]:
            with self._meter.busy(), in_slot():
                yield

        trained = await self._train_in_slot(source, seed, self._recipe, metered)
        return trained if isinstance(trained, Failure) else trained.evaluation

    async def retrain(
        self, source: str, *, seed: int, recipe: Recipe, in_slot: InSlot = contextlib.nullcontext
    ) -> Retrained | Failure:
        """Like :meth:`train`, by any recipe of this task, and with the weights."""
        return await self._train_in_slot(source, seed, recipe, in_slot)

    def take_slot_use(self) -> SlotUse:
        """The use of the slots by :meth:`train` since the start or the last call."""
        return self._meter.take(self.num_slots)

    async def _train_in_slot(self, source: str, seed: int, recipe: Recipe, in_slot: InSlot) -> Retrained | Failure:
        checked = await self._checker.examine(source)
        if isinstance(checked, Failure):
            return checked
        async with self._site.hold() as slot:
            with in_slot():
                trained = await self._train(source, checked, seed, recipe, slot)
        if slot.was_shared and isinstance(trained, Failure) and trained.kind is FailureKind.MEMORY:
            async with self._site.hold(alone=True) as slot:
                with in_slot():
                    trained = await self._train(source, checked, seed, recipe, slot)
        return trained

    async def _train(self, source: str, checked: Checked, seed: int, recipe: Recipe, slot: Slot) -> Retrained | Failure:
        """Train and validate in ``slot``."""
        assert self._validation is not None, "the lab was not started"
        self._refuse_if_stopping()
        snapshots = snapshot_names(recipe, self._validate_every)
        job = self._jobs.train(
            source,
            recipe=recipe,
            seed=seed,
            device=slot.device,
            num_weight_bytes=checked.num_weight_bytes,
            snapshots=snapshots,
        )
        trained = await slot.run(job)
        losses = _train_loss(trained)
        if isinstance(losses, Failure):
            return losses
        weights = trained.deliveries[WEIGHTS_FILE]
        if name := differing_copy(weights, checked.layout, checked.copies):
            return Failure(Step.TRAIN, FailureKind.HIDDEN_WEIGHTS, f"{name} no longer shares its weights")
        if changed := await self._changed_table(source, weights, checked, seed, slot):
            return changed
        scores = []
        for file in (*snapshots.values(), WEIGHTS_FILE):
            scored = await self._scorer.score(
                source,
                trained.deliveries[file],
                self._validation,
                seed=seed,
                slot=slot,
                undecided=checked.is_undecided,
            )
            if isinstance(scored, Failure):
                return scored
            scores.append(scored)
        evaluation = Evaluation(
            accuracy=scores[-1].accuracy,
            recipe_digest=recipe.digest,
            costs=checked.report.costs,
            fingerprint=checked.report.fingerprint,
            train_loss=losses,
            seconds=trained.wall_seconds + sum(scored.seconds for scored in scores),
            isolation=self.isolation,
            curve=tuple((epoch, scored.accuracy) for epoch, scored in zip(snapshots, scores, strict=False)),
            findings=checked.report.findings + scores[-1].findings,
            metric=self._task.objective.name,
        )
        return Retrained(evaluation, to_safetensors(trained.deliveries[WEIGHTS_FILE], checked.layout))

    async def _changed_table(
        self, source: str, weights: bytes, checked: Checked, seed: int, slot: Slot
    ) -> Failure | None:
        """A failure if training changed a table that does not count as parameters."""
        if not changed_table(weights, checked.layout, checked.tables):
            return None
        # Index tables may depend on the seed, and rounding on the machine: compare with a build there.
        built = await self._checker.examine_in(slot, source, seed)
        if isinstance(built, Failure):
            return built
        alike = built.layout == checked.layout and dict(built.tables).keys() == dict(checked.tables).keys()
        name = changed_table(weights, checked.layout, built.tables if alike else checked.tables)
        message = f"training changes the table {name}; tensors that training changes must be parameters"
        return Failure(Step.TRAIN, FailureKind.HIDDEN_WEIGHTS, message) if name else None

    async def hold_out(
        self, source: str, weights: bytes, *, seed: int, in_slot: InSlot = contextlib.nullcontext
    ) -> float | Failure:
        """Score a trained network on the held-out images, which are loaded at the first call.

        Args:
            weights: from :meth:`retrain` of the same source and seed.

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
        split = await self._blind_held_out()
        async with self._site.hold() as slot:
            self._refuse_if_stopping()
            with in_slot():
                scored = await self._scorer.score(
                    source, raw, split, seed=seed, slot=slot, undecided=checked.is_undecided
                )
        return scored if isinstance(scored, Failure) else scored.accuracy

    async def _blind_held_out(self) -> BlindSplit:
        async with self._writing:
            if self._held_out is None:
                split = await asyncio.to_thread(self._task.held_out)
                with writing(self._data):
                    self._held_out = await asyncio.to_thread(write_blind_split, self._data, "held-out", split)
        return self._held_out

    async def _try_compiler(self) -> None:
        """Train a compiled test network, so that a missing compiler is not reported as failures of candidates."""
        recipe = replace(self._recipe, num_epochs=1, warmup_epochs=0)
        found = await self.retrain(_COMPILABLE, seed=0, recipe=recipe)
        if isinstance(found, Failure):
            raise SettingsError(
                f"--lab.compile true: expected torch.compile to work in jobs, found {found.message!r}; install a C++ "
                "compiler, let jobs use it, or train without --lab.compile"
            )

    def _refuse_if_stopping(self) -> None:
        if self._stopping:
            raise StoppingError("the training did not start because the run is being stopped")


def _train_loss(trained: JobResult) -> tuple[float, ...] | Failure:
    if trained.failure is not None:
        return trained.failure
    try:
        losses = _TrainClaims.model_validate(trained.report).train_loss
    except ValidationError:
        return Failure(Step.TRAIN, FailureKind.CRASH, MALFORMED_REPORT)
    return tuple(losses)


class _TrainClaims(BaseModel):
    """The schema of a train job's report."""

    model_config = ConfigDict(extra="forbid", strict=True)

    train_loss: list[FiniteFloat]


def num_slots(settings: LabSettings) -> int:
    """The number of concurrent trainings, on this machine or the cluster.

    Raises:
        SettingsError: the requested device is missing, or the cluster cannot be reached.
    """
    if settings.address:
        from tools.cluster.connection import count_slots

        return count_slots(settings)
    return len(local_devices(settings))


def _make_site(sandbox: Sandbox, settings: LabSettings) -> Site:
    if settings.address:
        from tools.cluster.ray_site import RaySite

        return RaySite(settings)
    return LocalSite(sandbox, local_devices(settings))


if __name__ == "__main__":
    from tools.check_command import main

    sys.exit(main())
