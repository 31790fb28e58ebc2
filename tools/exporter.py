"""Exports trained networks as ONNX, and tests ONNX files and result folders.

Exports run again in separate processes, and their outputs are compared with the scored network's logits here.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from fairnad.records.candidate import Failure, FailureKind, Step
from tools.checks import Checker
from tools.jobs.weights import from_safetensors
from tools.sandbox.job import (
    LOGITS_FILE,
    MALFORMED_REPORT,
    ONNX_FILE,
    PROBABILITIES_FILE,
    WEIGHTS_FILE,
    FailedJobError,
    Job,
    JobKind,
    JobResult,
    Limits,
)
from tools.sandbox.supervisor import Sandbox
from tools.training_jobs import TrainingJobs

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]

NUM_IMAGES = 16
"""Random images, and validation images, for the comparison."""

_IMAGES_FILE = "images.npy"
_PROGRAM_FILE = "program.src"
_TOLERANCE = 1e-3
_WALL_SECONDS = 600
_OUTPUT_BYTES = 2**24
"""Bytes of output; the exporter prints the whole graph several times if it fails."""
_MAX_GRAPH_BYTES = 2**26
"""Maximum size of an ONNX file beyond the weights."""
_SEED = 2605


@dataclass(frozen=True, slots=True, eq=False)
class TrainedNetwork:
    """A source with the weights of a training with ``seed``, the content of a safetensors file."""

    source: str
    weights: bytes
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Onnx:
    """A network as ONNX.

    ``any_batch``: whether it takes batches of any size or of one. ``max_difference``: the largest difference between
    logits of onnxruntime and torch on ``num_images`` images, half random and half real.
    """

    content: bytes
    any_batch: bool
    max_difference: float
    num_images: int


class Exporter:
    """Exports and tests networks of one task on the CPU."""

    def __init__(self, sandbox: Sandbox, checker: Checker, jobs: TrainingJobs) -> None:
        self._sandbox = sandbox
        self._checker = checker
        self._jobs = jobs
        self._limits = Limits(_WALL_SECONDS, jobs.limits.memory_bytes, _OUTPUT_BYTES)

    async def to_onnx(self, network: TrainedNetwork) -> Onnx | Failure:
        """Export a network as ONNX, and verify that onnxruntime computes the same as torch."""
        try:
            return await self._to_onnx(network)
        except FailedJobError as error:
            return error.failure

    async def try_out(self, network: TrainedNetwork, program: str, files: Mapping[str, bytes]) -> float | Failure:
        """The largest difference between the probabilities of a program and of the lab on validation images.

        Args:
            program: its name among ``files``, which are placed beside it.
        """
        images = self._real_images()
        try:
            by_lab = _softmax(await self._by_torch(network, await self._raw_weights(network), images))
            tried = await self._run(self._trial_job(program, files, images))
            stated = np.frombuffer(tried.deliveries[PROBABILITIES_FILE], "<f4").reshape(by_lab.shape)
            return _compare(by_lab, stated, "its probabilities differ from the lab's")
        except FailedJobError as error:
            return error.failure

    async def _to_onnx(self, network: TrainedNetwork) -> Onnx:
        raw = await self._raw_weights(network)
        exported = await self._run(self._export_job(network, raw))
        try:
            any_batch = _ExportClaims.model_validate(exported.report).any_batch
        except ValidationError as error:
            raise _make_error(FailureKind.CRASH, MALFORMED_REPORT) from error
        content = exported.deliveries[ONNX_FILE]
        shape = (NUM_IMAGES, *self._jobs.task.contract.input_shape)
        noise = np.random.default_rng(_SEED).integers(256, size=shape, dtype=np.uint8)
        images = np.concatenate([noise, self._real_images()])
        by_torch = await self._by_torch(network, raw, images)
        inferred = await self._run(self._infer_job(content, images, len(images) if any_batch else 1))
        difference = _compare(by_torch, self._logits(inferred), "its logits differ from torch's")
        return Onnx(content, any_batch, difference, len(images))

    async def _run(self, job: Job) -> JobResult:
        result = await self._sandbox.run(job)
        result.raise_failure()
        return result

    async def _raw_weights(self, network: TrainedNetwork) -> bytes:
        checked = await self._checker.examine(network.source)
        if isinstance(checked, Failure):
            raise FailedJobError(checked)
        return from_safetensors(network.weights, checked.layout)

    async def _by_torch(self, network: TrainedNetwork, raw: bytes, images: Images) -> Floats:
        inputs = {_IMAGES_FILE: _npy(images)}
        job = self._jobs.predict(
            network.source, raw, _IMAGES_FILE, len(images), seed=network.seed, device="cpu", inputs=inputs
        )
        return self._logits(await self._run(job))

    def _logits(self, result: JobResult) -> Floats:
        return np.frombuffer(result.deliveries[LOGITS_FILE], "<f4").reshape(-1, self._jobs.task.num_classes)

    def _export_job(self, network: TrainedNetwork, raw: bytes) -> Job:
        return Job(
            kind=JobKind.EXPORT,
            step=Step.EXECUTE,
            source=network.source,
            request=self._jobs.network(network.seed),
            limits=self._limits,
            inputs={WEIGHTS_FILE: raw},
            bounded_deliveries={ONNX_FILE: _MAX_GRAPH_BYTES + 2 * len(raw)},
        )

    def _infer_job(self, content: bytes, images: Images, batch_size: int) -> Job:
        return Job(
            kind=JobKind.INFER,
            step=Step.EXECUTE,
            source="",
            request=self._jobs.network(_SEED) | {"images": _IMAGES_FILE, "batch_size": batch_size},
            limits=self._limits,
            inputs={ONNX_FILE: content, _IMAGES_FILE: _npy(images)},
            deliveries={LOGITS_FILE: self._num_bytes(len(images))},
        )

    def _trial_job(self, program: str, files: Mapping[str, bytes], images: Images) -> Job:
        pictures = {f"image-{number:02d}.png": _png(image) for number, image in enumerate(images)}
        class_names = list(self._jobs.task.class_names)
        beside = {name: content for name, content in files.items() if name != program}
        return Job(
            kind=JobKind.TRY_OUT,
            step=Step.EXECUTE,
            source="",
            request={"program": _PROGRAM_FILE, "images": sorted(pictures), "class_names": class_names},
            limits=self._limits,
            inputs={_PROGRAM_FILE: files[program], **beside, **pictures},
            deliveries={PROBABILITIES_FILE: self._num_bytes(len(images))},
        )

    def _num_bytes(self, num_images: int) -> int:
        return num_images * self._jobs.task.contract.num_outputs * np.dtype("<f4").itemsize

    def _real_images(self) -> Images:
        return self._jobs.task.validation.images[:NUM_IMAGES]


class _ExportClaims(BaseModel):
    """The form of an export job's report."""

    model_config = ConfigDict(extra="forbid", strict=True)

    any_batch: bool


def _make_error(kind: FailureKind, message: str) -> FailedJobError:
    return FailedJobError(Failure(Step.EXECUTE, kind, message))


def _compare(one: Floats, other: Floats, what: str) -> float:
    """The largest difference; raises an error if it is above the tolerance or NaN."""
    difference = float(np.abs(one - other).max())
    if not difference <= _TOLERANCE * max(1.0, float(np.abs(one).max())):
        raise _make_error(FailureKind.RUNTIME, f"{what} by up to {difference:.2g}")
    return difference


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Floats = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def _npy(images: Images) -> bytes:
    file = io.BytesIO()
    np.save(file, images)
    return file.getvalue()


def _png(image: Images) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(file, "PNG")
    return file.getvalue()
