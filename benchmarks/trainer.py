"""The trainer against a bare training loop and against a DataLoader, and two slots against two bare loops.

    python -m benchmarks.trainer

One thread a training, on the CPU. *Bare* is forward, backward and optimizer step on batches that were made before: no
training can do less. *DataLoader* is the way of NAS-Bench-201: images as PIL objects, torchvision's crop, flip, tensor
and normalisation one image at a time, ``torch.utils.data.DataLoader`` in the same process.

Repeats of all ways take turns, and each repeat gives one ratio, so that a busy machine slows all of them. Single
trainings are timed by processor time. Trainings in slots are timed by the wall clock as well, with all a job does
besides training (fork, reading the images, report and weights); bare loops run in processes that have been warmed up.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

import numpy as np
import torch
from torch import nn

from benchmarks.machine import machine_line, spread
from benchmarks.slots import slot_lines
from benchmarks.training_ways import by_bare_loop, by_data_loader, by_trainer, made_batches, pictures
from fairnad.domain.contract import Contract
from fairnad.domain.recipe import RECIPES
from prompts.loader import load_pack
from tools.jobs.network_source import build_network
from tools.jobs.trainer import TrainRequest

NETWORKS = {"small_resnet": (16, 50), "resnet32": (32, 3)}
"""Base models of the pack: pixels a side and steps a repeat."""

_NUM_CLASSES = 10


def main() -> None:
    """Print the machine, then each table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="repeats of each measurement (default: 7)")
    num_repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    print(f"{machine_line('torch', 'torchvision', 'pillow')}; median (smallest to largest)\n")
    for line in chain(training_lines(num_repeats), [""], batch_lines(num_repeats), [""]):
        print(line, flush=True)
    print("\n".join(asyncio.run(slot_lines(num_repeats))))


def training_lines(num_repeats: int) -> Iterator[str]:
    """The table of whole trainings."""
    yield f"| a training, batches of {RECIPES['quick'].batch_size} | bare loop | trainer ÷ bare | DataLoader ÷ bare |"
    yield "|---|---:|---:|---:|"
    for name, (size, num_steps) in NETWORKS.items():
        request = make_request(size, num_steps)
        ways = (
            partial(by_bare_loop, batches=made_batches(request), recipe=request.recipe),
            partial(by_trainer, request=request),
            partial(by_data_loader, request=request),
        )
        bare, ours, theirs = _take_turns([_on_new(name, size, way) for way in ways], num_repeats)
        step = f"{1e3 * np.median(bare) / num_steps:.1f} ms a step"
        yield f"| {name}, {size}×{size} | {step} | {_ratios(ours, bare)} | {_ratios(theirs, bare)} |"


def batch_lines(num_repeats: int) -> Iterator[str]:
    """The table of batches alone, which is what the processor does while a GPU trains."""
    yield "| making batches, no network | trainer | DataLoader ÷ trainer |"
    yield "|---|---:|---:|"
    for _, (size, _) in NETWORKS.items():
        request = make_request(size, num_steps=40)
        ours, theirs = _take_turns([partial(made_batches, request), partial(_all_pictures, request)], num_repeats)
        rate = len(request.images) / float(np.median(ours))
        yield f"| {size}×{size} | {rate:,.0f} images/s | {_ratios(theirs, ours)} |"


def make_request(size: int, num_steps: int) -> TrainRequest:
    """Noise to train on for one epoch of so many steps, by ``quick`` with crop and flip."""
    recipe = replace(RECIPES["quick"], num_epochs=1, warmup_epochs=0, crop_padding=size // 8)
    generator = np.random.default_rng(0)
    num_images = num_steps * recipe.batch_size
    images = generator.integers(256, size=(num_images, 3, size, size), dtype=np.uint8)
    labels = generator.integers(_NUM_CLASSES, size=num_images)
    return TrainRequest(images, labels, (0.5,) * 3, (0.25,) * 3, recipe, 0, "cpu", _NUM_CLASSES)


def _all_pictures(request: TrainRequest) -> int:
    return sum(len(labels) for _, labels in pictures(request))


def _on_new(name: str, size: int, train: Callable[[nn.Module], None]) -> Callable[[], None]:
    """Trains a new network each time."""
    source = load_pack("vision").base_source(name)
    return lambda: train(build_network(source, Contract.for_images(size, _NUM_CLASSES), seed=0))


def _take_turns(ways: Sequence[Callable[[], object]], num_repeats: int) -> list[list[float]]:
    """Processor seconds of each way in every repeat; a first one warms up."""
    times: list[list[float]] = [[] for _ in ways]
    for repeat in range(num_repeats + 1):
        for way, seconds in zip(ways, times, strict=True):
            start = time.process_time()
            way()
            if repeat:
                seconds.append(time.process_time() - start)
    return times


def _ratios(times: Sequence[float], others: Sequence[float]) -> str:
    return spread([time / other for time, other in zip(times, others, strict=True)])


if __name__ == "__main__":
    main()
