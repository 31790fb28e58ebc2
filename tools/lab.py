"""The lab: checks, trains and scores untrusted sources, each in processes of their own (paper §4.4, §5).

Nothing a job reports is believed where it matters: a training delivers weights, a second process turns images
without labels into logits, and the accuracy is computed here, from logits and labels that no job has seen.
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
from tools.scoring import Exam, Scorer, write_exam
from tools.slot_meter import SlotMeter
from tools.slots import LocalSite, Site, Slot, local_devices, measuring_device
from tools.training_jobs import TrainingJobs, snapshot_names, training_limits

_COMPILABLE = """
import torch.nn as nn

class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, x):
        return self.head(x.mean((2, 3)))
"""


class TorchLab:
    """The lab of one run, for one task and the recipe of its search: :class:`fairnad.ports.Lab`.

    A training and its prediction hold one slot together; one that runs out of memory beside another is tried once more
    alone. Checks have slots of their own, on this machine: they take a fraction of a second, and the feedback loop of
    one candidate need not wait for the training of another.
    """

    def __init__(
        self, task: Task, recipe: Recipe, settings: LabSettings, scratch: Path, measured: Collection[str] = ()
    ) -> None:
        """Nothing is started or written yet.

        Args:
            measured: names of the costs that are limited, those among them that only a run shows are measured.
            scratch: a folder for this lab alone, on a disk with room for the task's images.

        Raises:
            SettingsError: the device asked for is not there, or the slots do not fit the machine.
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
            self._sandbox, settings, task.num_classes, task.image_size, num_checks, measured, measuring_device(settings)
        )
        self.exporter = Exporter(self._sandbox, self._checker, self._jobs)
        self._scorer = Scorer(self._jobs, settings.integrity)
        self._validation: Exam | None = None
        self._held_out: Exam | None = None
        self._meter = SlotMeter()
        self._writing = asyncio.Lock()
        self._stopping = False

    @property
    def isolation(self) -> Level:
        """How jobs are shut in where they are shut in worst, known once the lab has started."""
        return max(self._sandbox.isolation, self._site.isolation)

    @property
    def num_slots(self) -> int:
        """How many trainings run at a time."""
        return self._site.num_slots

    async def start(self) -> None:
        """Write the images where jobs can map them, and warm the sandbox up.

        Raises:
            StorageError: the scratch folder cannot be written.
            SettingsError: the cluster cannot be reached, or what is asked for does not work there.
            LabError: the sandbox did not start.
        """
        with writing(self._data):
            await asyncio.to_thread(self._write_training_images)
            self._validation = await asyncio.to_thread(write_exam, self._data, "validation", self._task.validation)
        await self._sandbox.start()
        await self._site.start()
        if self._recipe.compiled:
            await self._try_compiler()

    def stop(self) -> None:
        """Begin no new work; what is under way goes on."""
        self._stopping = True
        self._checker.stop()

    async def kill_jobs(self) -> None:
        """Kill what is under way, for good; whoever waits gets a :class:`~fairnad.errors.StoppingError`."""
        self.stop()
        await asyncio.gather(self._site.kill_jobs(), self._sandbox.kill_jobs())

    async def close(self) -> None:
        """Kill every job and end the sandbox."""
        self.stop()
        await self._site.close()
        await self._sandbox.close()

    async def check(self, source: str) -> CheckReport | Failure:
        """Build, run forward and backward, count costs; a source that was checked before is not run again.

        Raises:
            StoppingError: the lab is being stopped.
            LabError: the sandbox broke.
        """
        return await self._checker.check(source)

    async def train(self, source: str, *, seed: int, in_slot: InSlot = contextlib.nullcontext) -> Evaluation | Failure:
        """Train on the training split by the lab's recipe and score on the validation split.

        Args:
            in_slot: entered while the training holds a slot; before that it waits.

        Raises:
            StoppingError: the lab is being stopped.
            LabError: the sandbox broke.
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
        """Train as :meth:`train` does, by any recipe of this task, and hand the weights out.

        Raises:
            StoppingError: the lab is being stopped.
            LabError: the sandbox broke.
        """
        return await self._train_in_slot(source, seed, recipe, in_slot)

    def take_slot_use(self) -> SlotUse:
        """How well the slots were used by :meth:`train` since the lab started or this was last asked."""
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
        """Train and validate in a slot that is held."""
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
            return Failure(Step.TRAIN, FailureKind.HIDDEN_WEIGHTS, f"{name} shares its weights no longer")
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
        )
        return Retrained(evaluation, to_safetensors(trained.deliveries[WEIGHTS_FILE], checked.layout))

    async def _changed_table(
        self, source: str, weights: bytes, checked: Checked, seed: int, slot: Slot
    ) -> Failure | None:
        """Why tables that count nothing are no tables after all; ``None`` where they hold what a build puts there."""
        if not changed_table(weights, checked.layout, checked.tables):
            return None
        # Tables of indices may depend on the seed, and another machine may round a sine otherwise.
        built = await self._checker.examine_in(slot, source, seed)
        if isinstance(built, Failure):
            return built
        alike = built.layout == checked.layout and dict(built.tables).keys() == dict(checked.tables).keys()
        name = changed_table(weights, checked.layout, built.tables if alike else checked.tables)
        message = f"training changes the table {name}; what it writes to must be a parameter"
        return Failure(Step.TRAIN, FailureKind.HIDDEN_WEIGHTS, message) if name else None

    async def hold_out(
        self, source: str, weights: bytes, *, seed: int, in_slot: InSlot = contextlib.nullcontext
    ) -> float | Failure:
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
        async with self._site.hold() as slot:
            self._refuse_if_stopping()
            with in_slot():
                scored = await self._scorer.score(
                    source, raw, exam, seed=seed, slot=slot, undecided=checked.is_undecided
                )
        return scored if isinstance(scored, Failure) else scored.accuracy

    async def _held_out_exam(self) -> Exam:
        async with self._writing:
            if self._held_out is None:
                split = await asyncio.to_thread(self._task.held_out)
                with writing(self._data):
                    self._held_out = await asyncio.to_thread(write_exam, self._data, "held-out", split)
        return self._held_out

    async def _try_compiler(self) -> None:
        """Compile something that is no candidate's, so that no candidate is blamed for a compiler that is missing."""
        recipe = replace(self._recipe, num_epochs=1, warmup_epochs=0)
        found = await self.retrain(_COMPILABLE, seed=0, recipe=recipe)
        if isinstance(found, Failure):
            raise SettingsError(
                f"--lab.compile true: expected torch.compile to work in jobs, found {found.message!r}; install a C++ "
                "compiler, let jobs use it, or train without --lab.compile"
            )

    def _refuse_if_stopping(self) -> None:
        if self._stopping:
            raise StoppingError("the training was not begun because the run is being stopped")

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


def num_slots(settings: LabSettings) -> int:
    """How many trainings run at a time; a cluster is asked.

    Raises:
        SettingsError: the device asked for is not there, or the cluster cannot be reached.
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
