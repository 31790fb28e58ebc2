"""The headroom of the default task: the base of ``digits`` and hand-made variants, over several seeds.

    python -m benchmarks.default_task --seeds 8

Prints the table of docs/default_task.md. A variant is the base's source with a few literals changed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from time import process_time

import numpy as np
import torch
from torch import nn

from fairnad.domain.budget import Budget, within
from fairnad.domain.recipe import RECIPES, Recipe
from prompts.loader import load_pack
from tools.budget_evaluator import count_params, flop_count
from tools.datasets.tasks import Split, Task, load_task
from tools.jobs.network_source import build_network, example_inputs
from tools.jobs.trainer import TrainRequest, predict, train

Edits = tuple[tuple[str, str], ...]


def width(first: int, second: int, third: int) -> Edits:
    """The edits that give the three stages these widths instead of 4, 8 and 8; the last literals come first."""
    return (
        ("Linear(8,", f"Linear({third},"),
        ("(8, 8,", f"({second}, {third},"),
        ("(4, 8,", f"({first}, {second},"),
        ("(4, 4,", f"({first}, {first},"),
        ("Stem(3, 4)", f"Stem(3, {first})"),
    )


SQUEEZE: Edits = (("use_se=False", "use_se=True"),)
GELU: Edits = (("nn.ReLU()", "nn.GELU()"),)
KERNEL_5: Edits = (("kernel_size=3", "kernel_size=5"),)
DEEPER: Edits = (("repeats=2", "repeats=3"),)
STRIDED_STEM: Edits = (("Conv2d(in_channels, out_channels, 3, padding=1", "Conv2d(in_channels, out_channels, 3, 2, 1"),)

VARIANTS: dict[str, Edits] = {
    "base, width 4-8-8": (),
    "GELU": GELU,
    "SE": SQUEEZE,
    "5×5 kernels": KERNEL_5,
    "3 blocks a stage": DEEPER,
    "strided stem": STRIDED_STEM,
    "width 4-8-16": width(4, 8, 16),
    "width 5-10-20": width(5, 10, 20),
    "width 5-10-20, SE": width(5, 10, 20) + SQUEEZE,
    "width 8-12-16, SE": width(8, 12, 16) + SQUEEZE,
    "width 8-16-16": width(8, 16, 16),
    "width 8-16-16, strided stem": width(8, 16, 16) + STRIDED_STEM,
    "width 8-16-16, GELU": width(8, 16, 16) + GELU,
    "width 8-16-16, SE": width(8, 16, 16) + SQUEEZE,
}


@dataclass(frozen=True)
class Setting:
    """The default task with everything that a training needs."""

    task: Task
    held_out: Split
    recipe: Recipe
    budgets: tuple[Budget, ...]
    base: str


@dataclass(frozen=True)
class Result:
    """One training; accuracies in percent, seconds of one core."""

    validation: float
    held_out: float
    seconds: float


@cache
def setting() -> Setting:
    """The setting, read once a process."""
    pack = load_pack("vision")
    defaults = pack.tasks["digits"]
    task = load_task("digits", data=Path("data"), image_size=0, defaults=defaults)
    return Setting(
        task=task,
        held_out=task.held_out(),
        recipe=replace(
            RECIPES[defaults.recipe], flip_probability=task.flip_probability, crop_padding=task.crop_padding
        ),
        budgets=(Budget("params", "parameters", defaults.max_params), Budget("flops", "FLOPs", defaults.max_flops)),
        base=pack.base_source(defaults.base),
    )


def build(edits: Edits, seed: int) -> nn.Module:
    """The base with every edit made.

    Raises:
        ValueError: an edit does not match.
    """
    source = setting().base
    for old, new in edits:
        if old not in source:
            raise ValueError(f"the base holds no {old!r}")
        source = source.replace(old, new)
    task = setting().task
    return build_network(source, task.contract, seed=seed)


def measure(edits: Edits, seed: int) -> Result:
    """Train a variant and score it on both splits."""
    torch.set_num_threads(1)
    network = build(edits, seed)
    task, recipe = setting().task, setting().recipe
    images, labels = task.train.images, task.train.labels
    start = process_time()
    report = train(network, TrainRequest(images, labels, task.mean, task.std, recipe, seed, "cpu", task.num_classes))
    seconds = process_time() - start
    assert not report.diverged and not report.hopeless, "a training the recipe ended would be no result"
    return Result(_percent(network, task.validation), _percent(network, setting().held_out), seconds)


def _percent(network: nn.Module, split: Split) -> float:
    task = setting().task
    logits = predict(network, split.images, task.mean, task.std, batch_size=256, device="cpu")
    return 100 * float((logits.argmax(axis=1) == split.labels).mean())


def table(num_seeds: int, num_processes: int) -> Iterator[str]:
    """The rows of the table, each as soon as it is measured."""
    yield "| variant | parameters | FLOPs | within limits | validation (%) | held-out (%) | seconds |"
    yield "|---|---:|---:|---|---:|---:|---:|"
    # Spawned, as a process that has used torch's threads cannot be forked safely.
    with ProcessPoolExecutor(num_processes, mp_context=get_context("spawn")) as pool:
        for name, edits in VARIANTS.items():
            yield _row(name, edits, list(pool.map(partial(measure, edits), range(num_seeds))))


def _row(name: str, edits: Edits, results: list[Result]) -> str:
    network = build(edits, seed=0)
    costs = {
        "params": count_params(network),
        "flops": flop_count(network, example_inputs(setting().task.contract, 1)).total,
    }
    cells = [
        name,
        f"{costs['params']:,}",
        f"{costs['flops']:,}",
        "yes" if within(costs, setting().budgets) else "no",
        _mean_and_deviation([result.validation for result in results]),
        _mean_and_deviation([result.held_out for result in results]),
        f"{np.mean([result.seconds for result in results]):.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def _mean_and_deviation(values: list[float]) -> str:
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8, help="trainings of each variant (default: 8)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="trainings at a time (default: cores)")
    options = parser.parse_args()
    for line in table(options.seeds, options.processes):
        print(line, flush=True)


if __name__ == "__main__":
    main()
