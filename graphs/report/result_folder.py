"""The result of a search: a network that can be used without this project.

A search stores the archive ``runs/NAME/result.zip``. The command line also unpacks it to ``runs/NAME/result/``. A
server does not, because a new ``best.py`` in a folder that ``langgraph dev`` watches would restart it.
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
from graphs.runtime.stored_finals import read_weights
from store.result_files import holds, pack, publish, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fairnad.search.finals import Finals
    from fairnad.search.promotion import Rung
    from graphs.runtime.run_services import RunServices
    from tools.datasets.tasks import Task
    from tools.exporter import Onnx, TrainedNetwork

RESULT = "result"
ARCHIVE_NAME = "result.zip"
PROGRAM_NAME = "best.py"
STORED = "store result"
"""The step that stores the result."""


@dataclass(frozen=True, slots=True)
class Result:
    """A stored result. ``trial`` and ``onnx`` say in a sentence whether its program and its ONNX export work."""

    archive: str
    trial: str
    onnx: str


_RESULT: TypeAdapter[Result] = TypeAdapter(Result)


async def store_result(run: RunServices, finals: Finals, rungs: Sequence[Rung]) -> Result:
    """Store the winner with the weights of its best seed on validation.

    The archive is written once per finals, and again if it was removed.
    """
    history = await run.history()
    winner = history[finals.winner_id]

    async def write() -> Result:
        seed = finals.best_seed
        weights = await read_weights(run, winner.candidate_id, seed, finals.recipe_digest)
        files, result = await _make(run, _network(winner.source, weights, seed), winner.candidate_id)
        findings = (result.trial, result.onnx)
        card = await asyncio.to_thread(make_card, run, history, finals, rungs, findings)
        files["model_card.md"] = card.encode("utf-8", "backslashreplace")
        await asyncio.to_thread(pack, archive, files)
        return result

    archive = run.folder.path / ARCHIVE_NAME
    result = await run.steps.once(winner.candidate_id, STORED, len(history.trained), _RESULT, write)
    return result if await asyncio.to_thread(archive.is_file) else await write()


def read_result(run: Path) -> dict[str, bytes]:
    """The files of the stored result of the run in folder ``run``, by name; empty without a result.

    Raises:
        RunFolderError: the archive is damaged.
        StorageError: the archive cannot be read.
    """
    archive = run / ARCHIVE_NAME
    return unpack(archive) if archive.is_file() else {}


def publish_result(run: Path) -> Path:
    """Write the result folder of the run in folder ``run`` unless it already holds the stored result; return its path.

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


async def _make(run: RunServices, network: TrainedNetwork, candidate_id: str) -> tuple[dict[str, bytes], Result]:
    """All files except the model card; the program among them has been run."""
    exporter = run.lab.exporter
    async with ticking("write", file="best.onnx"):
        onnx = await exporter.to_onnx(network)
    program = make_program(network.source, candidate_id=candidate_id, run_name=run.context.run_name)
    files = {
        PROGRAM_NAME: program.encode(),
        "best.safetensors": network.weights,
        "labels.json": _labels(run.task, network.seed, onnx).encode(),
    }
    async with ticking("write", file=PROGRAM_NAME):
        trial = await exporter.try_out(network, PROGRAM_NAME, files)
    if not isinstance(onnx, Failure):
        files["best.onnx"] = onnx.content
    return files, Result(str(run.folder.path / ARCHIVE_NAME), _trial_line(trial), _onnx_line(onnx))


def _labels(task: Task, seed: int, onnx: Onnx | Failure) -> str:
    labels: dict[str, object] = {
        "task": task.name,
        "classes": list(task.class_names),
        "image_size": task.image_size,
        "mean": list(task.mean),
        "std": list(task.std),
        "ranges": {mode: list(values) for mode, values in task.ranges.items()},
        "preprocessing": "crop the largest centred square, scale images of more than 8 bits so that the range of their "
        "mode becomes 0 to 255, apply the EXIF orientation, blend transparency over white, convert to RGB, resize "
        "bilinearly to image_size, divide by 255, subtract mean, divide by std",
        "seed": seed,
    }
    if not isinstance(onnx, Failure):
        shape = ["any" if onnx.any_batch else 1, *task.contract.input_shape]
        labels["onnx"] = {"input": "images", "shape": shape, "type": "float32", "output": "logits"}
    return json.dumps(labels, indent=2, ensure_ascii=False) + "\n"


def _trial_line(trial: float | Failure) -> str:
    if isinstance(trial, Failure):
        return f"{PROGRAM_NAME} was run on validation images and must not be used: {trial.message}"
    return (
        f"{PROGRAM_NAME} was run on validation images: "
        f"its probabilities equal those of the scored network (largest difference {trial:.1g})"
    )


def _onnx_line(onnx: Onnx | Failure) -> str:
    if isinstance(onnx, Failure):
        return f"best.onnx is missing, since the network could not be exported: {onnx.message}"
    batch = "any number of images" if onnx.any_batch else "one image at a time"
    return (
        f"best.onnx takes {batch} and returns the same logits as torch "
        f"(largest difference {onnx.max_difference:.1g} on {onnx.num_images} random and real images)"
    )
