"""The result: what a person walks away with, usable without this project.

A search stores it in the archive ``runs/NAME/result.zip``, wherever it runs. The command line also writes the folder
``runs/NAME/result/``. A server does not: ``best.py`` in a folder that ``langgraph dev`` watches would restart it.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from fairnad.records.candidate import Failure
from graphs.report.model_card import make_card
from graphs.report.program import make_program
from graphs.runtime.progress_events import ticking
from graphs.search.finals import kept_weights
from store.result_files import holds, pack, publish, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fairnad.search.finals import Finals
    from fairnad.search.promotion import Rung
    from graphs.runtime.run_services import Bench
    from tools.datasets.tasks import Task
    from tools.exporter import Onnx, TrainedNetwork

RESULT = "result"
ARCHIVE_NAME = "result.zip"
PROGRAM_NAME = "best.py"
STORED = "store result"
"""The step that stores it."""


@dataclass(frozen=True, slots=True)
class Result:
    """A stored result, and what is said of it: whether its program does what it should, and of the export to ONNX."""

    archive: str
    trial: str
    onnx: str


_RESULT: TypeAdapter[Result] = TypeAdapter(Result)


async def store_result(bench: Bench, finals: Finals, rungs: Sequence[Rung]) -> Result:
    """Store the winner, with the weights of its best seed on validation.

    It is written once for each finals held, and again where somebody has taken it away.
    """
    history = await bench.history()
    winner = history[finals.winner_id]

    async def write() -> Result:
        seed = finals.winner.best_seed
        weights = await kept_weights(bench, winner.candidate_id, seed, finals.recipe_digest)
        files, result = await _make(bench, _network(winner.source, weights, seed), winner.candidate_id)
        findings = (result.trial, result.onnx)
        card = await asyncio.to_thread(make_card, bench, history, finals, rungs, findings)
        files["model_card.md"] = card.encode("utf-8", "backslashreplace")
        await asyncio.to_thread(pack, archive, files)
        return result

    archive = bench.folder.path / ARCHIVE_NAME
    result = await bench.steps.once(winner.candidate_id, STORED, len(history.trained), _RESULT, write)
    return result if await asyncio.to_thread(archive.is_file) else await write()


def read_result(run: Path) -> dict[str, bytes]:
    """The files of the stored result of the run in folder ``run``, by name; none where it has none.

    Raises:
        RunFolderError: the archive is damaged.
        StorageError: it cannot be read.
    """
    archive = run / ARCHIVE_NAME
    return unpack(archive) if archive.is_file() else {}


def publish_result(run: Path) -> Path:
    """The result folder of the run in folder ``run``, written where it does not hold the stored result.

    Raises:
        RunFolderError: the stored result is damaged.
        StorageError: the disk is full, or the folder cannot be written.
    """
    folder, files = run / RESULT, read_result(run)
    if not holds(folder, files):
        publish(folder, files)
    return folder


def _network(source: str, weights: bytes, seed: int) -> TrainedNetwork:
    from tools.exporter import TrainedNetwork

    return TrainedNetwork(source, weights, seed)


async def _make(bench: Bench, network: TrainedNetwork, candidate_id: str) -> tuple[dict[str, bytes], Result]:
    """The files but the model card, after the program among them was tried out."""
    exporter = bench.lab.exporter
    async with ticking("write", file="best.onnx"):
        onnx = await exporter.to_onnx(network)
    program = make_program(network.source, candidate_id=candidate_id, run_name=bench.context.run_name)
    files = {
        PROGRAM_NAME: program.encode(),
        "best.safetensors": network.weights,
        "labels.json": _labels(bench.task, network.seed, onnx).encode(),
    }
    async with ticking("write", file=PROGRAM_NAME):
        trial = await exporter.try_out(network, PROGRAM_NAME, files)
    if not isinstance(onnx, Failure):
        files["best.onnx"] = onnx.content
    return files, Result(str(bench.folder.path / ARCHIVE_NAME), _trial_line(trial), _onnx_line(onnx))


def _labels(task: Task, seed: int, onnx: Onnx | Failure) -> str:
    labels: dict[str, object] = {
        "task": task.name,
        "classes": list(task.class_names),
        "image_size": task.image_size,
        "mean": list(task.mean),
        "std": list(task.std),
        "ranges": {mode: list(values) for mode, values in task.ranges.items()},
        "preprocessing": "cut out the largest centred square, scale more than 8 bits so that the range of that mode "
        "becomes 0 to 255, turn it as EXIF says, lay transparency over white, convert to RGB, resize it bilinearly to "
        "image_size, divide by 255, subtract mean, divide by std",
        "seed": seed,
    }
    if not isinstance(onnx, Failure):
        shape = ["any" if onnx.any_batch else 1, 3, task.image_size, task.image_size]
        labels["onnx"] = {"input": "images", "shape": shape, "type": "float32", "output": "logits"}
    return json.dumps(labels, indent=2, ensure_ascii=False) + "\n"


def _trial_line(trial: float | Failure) -> str:
    if isinstance(trial, Failure):
        return f"{PROGRAM_NAME} was tried out on validation images and is not to be used: {trial.message}"
    return (
        f"{PROGRAM_NAME} was tried out on validation images: "
        f"its probabilities are those of the network that was scored (largest difference {trial:.1g})"
    )


def _onnx_line(onnx: Onnx | Failure) -> str:
    if isinstance(onnx, Failure):
        return f"there is no best.onnx, the network could not be exported: {onnx.message}"
    batch = "any number of images" if onnx.any_batch else "one image at a time"
    return (
        f"best.onnx takes {batch} and gives the logits torch gives "
        f"(largest difference {onnx.max_difference:.1g} on {onnx.num_images} random and real images)"
    )
