"""Trainings in two slots of the lab against two bare loops side by side."""

from __future__ import annotations

import asyncio
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import spread
from benchmarks.training_ways import Batches, by_bare_loop, made_batches
from fairnad.domain.recipe import RECIPES
from fairnad.records.candidate import Failure
from fairnad.settings.search_settings import LabSettings
from prompts.loader import load_pack
from tools.checks import Checker
from tools.datasets.tasks import Task, load_task
from tools.jobs.network_source import build_network
from tools.jobs.trainer import TrainRequest
from tools.sandbox.job import Job
from tools.sandbox.supervisor import Sandbox
from tools.slots import LocalSite
from tools.training_jobs import TrainingJobs, training_limits

NUM_SLOTS = 2
NUM_EPOCHS = 40
RECIPE = replace(RECIPES["quick"], num_epochs=NUM_EPOCHS, flip_probability=0, crop_padding=0)

Times = tuple[float, float]
"""Wall-clock seconds until all have ended, and processor seconds of each on average."""


async def slot_lines(num_repeats: int) -> list[str]:
    """A table that compares two slots with two bare loops; repeats alternate."""
    with tempfile.TemporaryDirectory() as folder:
        sandbox = Sandbox(Path(folder))
        await sandbox.start()
        try:
            job = await _train_job(sandbox, Path(folder))
            with ProcessPoolExecutor(NUM_SLOTS, mp_context=get_context("spawn")) as pool:
                await _time_bare(pool, num_epochs=1)  # imports torch and makes the batches
                bare, ours = [], []
                for _ in range(num_repeats):
                    bare.append(await _time_bare(pool, NUM_EPOCHS))
                    ours.append(await _time_slots(sandbox, job))
        finally:
            await sandbox.close()
    wall, processor = (
        spread([one[clock] / other[clock] for one, other in zip(bare, ours, strict=True)]) for clock in (0, 1)
    )
    seconds = float(np.median(ours, axis=0)[1])
    return [
        f"| {NUM_SLOTS} slots of one thread, {seconds:.1f} s a training | speed ÷ that of {NUM_SLOTS} bare loops |",
        "|---|---:|",
        f"| by the wall clock | {wall} |",
        f"| by processor time | {processor} |",
    ]


async def _time_slots(sandbox: Sandbox, job: Job) -> Times:
    """Run one training per slot until all weights are stored."""
    site = LocalSite(sandbox, ["cpu"] * NUM_SLOTS)

    async def train() -> float:
        async with site.hold() as slot:
            result = await slot.run(job)
        assert result.failure is None, result.failure
        return result.cpu_seconds

    start = time.perf_counter()
    cpu_seconds = await asyncio.gather(*(train() for _ in range(NUM_SLOTS)))
    return time.perf_counter() - start, float(np.mean(cpu_seconds))


async def _time_bare(pool: ProcessPoolExecutor, num_epochs: int) -> Times:
    """Run one bare loop per slot."""
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    runs = [loop.run_in_executor(pool, _train_bare, num_epochs) for _ in range(NUM_SLOTS)]
    cpu_seconds = await asyncio.gather(*runs)
    return time.perf_counter() - start, float(np.mean(cpu_seconds))


def _train_bare(num_epochs: int) -> float:
    """The processor time it took."""
    torch.set_num_threads(1)
    start = time.process_time()
    task = _task()
    network = build_network(_source(), task.contract, seed=0)
    by_bare_loop(network, _batches(), replace(RECIPE, num_epochs=num_epochs))
    return time.process_time() - start


async def _train_job(sandbox: Sandbox, folder: Path) -> Job:
    """A training as the lab runs it."""
    task, settings = _task(), LabSettings()
    checker = Checker(sandbox, settings, task.contract, num_slots=1)
    checked = await checker.examine(_source())
    assert not isinstance(checked, Failure), checked
    images, labels = folder / "images.npy", folder / "labels.npy"
    np.save(images, task.train.images)
    np.save(labels, task.train.labels)
    jobs = TrainingJobs(task, training_limits(settings), images, labels)
    return jobs.train(_source(), recipe=RECIPE, seed=0, device="cpu", num_weight_bytes=checked.num_weight_bytes)


@cache
def _task() -> Task:
    return load_task("digits", data=Path("data"), defaults=load_pack("vision").tasks["digits"])


@cache
def _source() -> str:
    pack = load_pack("vision")
    return pack.base_source(pack.tasks["digits"].base)


@cache
def _batches() -> Batches:
    task = _task()
    images, labels = task.train.images, task.train.labels
    return made_batches(TrainRequest(images, labels, task.mean, task.std, RECIPE, 0, "cpu", task.num_classes))
