"""From trained weights to files for others: ONNX, and a trial of the finished result folder.

What is exported is run again in processes that share nothing with the one that exported it, and compared here, in
numpy, with the logits of the network that was scored.
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
"""How many random images, and how many of the validation images, the networks are compared on."""

_IMAGES_FILE = "images.npy"
_PROGRAM_FILE = "program.src"
_TOLERANCE = 1e-3
_WALL_SECONDS = 600
_OUTPUT_BYTES = 2**24
"""The exporter prints the whole graph, more than once, where it cannot go on."""
_MAX_GRAPH_BYTES = 2**26
"""What an ONNX file may hold beyond the weights."""
_SEED = 2605


@dataclass(frozen=True, slots=True, eq=False)
class TrainedNetwork:
    """A source with the weights a training with ``seed`` gave it, the content of a safetensors file."""

    source: str
    weights: bytes
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Onnx:
    """A network as ONNX.

    ``any_batch`` says whether it takes any number of images or one at a time; ``max_difference`` is the largest
    difference between a logit of onnxruntime's and torch's on ``num_images`` images, half random and half real.
    """

    content: bytes
    any_batch: bool
    max_difference: float
    num_images: int


class Exporter:
    """Exports the networks of one task and tries them out, on the CPU."""

    def __init__(self, sandbox: Sandbox, checker: Checker, jobs: TrainingJobs) -> None:
        self._sandbox = sandbox
        self._checker = checker
        self._jobs = jobs
        self._limits = Limits(_WALL_SECONDS, jobs.limits.memory_bytes, _OUTPUT_BYTES)

    async def to_onnx(self, network: TrainedNetwork) -> Onnx | Failure:
        """The network as ONNX, once onnxruntime has said the same as torch; or why there is none.

        Raises:
            StoppingError: the lab is being stopped.
            LabError: the sandbox broke.
        """
        try:
            return await self._to_onnx(network)
        except _FailedError as error:
            return error.failure

    async def try_out(self, network: TrainedNetwork, program: str, files: Mapping[str, bytes]) -> float | Failure:
        """The largest difference between a probability a program states and the lab's, on validation images.

        Args:
            program: its name among ``files``, which are all it finds beside it.

        Raises:
            StoppingError: the lab is being stopped.
            LabError: the sandbox broke.
        """
        images = self._real_images()
        try:
            by_lab = _softmax(await self._by_torch(network, await self._raw_weights(network), images))
            tried = await self._run(self._trial_job(program, files, images))
            stated = np.frombuffer(tried.deliveries[PROBABILITIES_FILE], "<f4").reshape(by_lab.shape)
            return _compare(by_lab, stated, "its probabilities differ from the lab's")
        except _FailedError as error:
            return error.failure

    async def _to_onnx(self, network: TrainedNetwork) -> Onnx:
        raw = await self._raw_weights(network)
        exported = await self._run(self._export_job(network, raw))
        try:
            any_batch = _ExportClaims.model_validate(exported.report).any_batch
        except ValidationError as error:
            raise _failed(FailureKind.CRASH, MALFORMED_REPORT) from error
        content = exported.deliveries[ONNX_FILE]
        images = np.concatenate([self._random_images(), self._real_images()])
        by_torch = await self._by_torch(network, raw, images)
        inferred = await self._run(self._infer_job(content, images, len(images) if any_batch else 1))
        difference = _compare(by_torch, self._logits(inferred), "its logits differ from torch's")
        return Onnx(content, any_batch, difference, len(images))

    async def _run(self, job: Job) -> JobResult:
        result = await self._sandbox.run(job)
        if result.failure is not None:
            raise _FailedError(result.failure)
        return result

    async def _raw_weights(self, network: TrainedNetwork) -> bytes:
        checked = await self._checker.examine(network.source)
        if isinstance(checked, Failure):
            raise _FailedError(checked)
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
        return num_images * self._jobs.task.num_classes * np.dtype("<f4").itemsize

    def _real_images(self) -> Images:
        return self._jobs.task.validation.images[:NUM_IMAGES]

    def _random_images(self) -> Images:
        size = self._jobs.task.image_size
        generator = np.random.default_rng(_SEED)
        return generator.integers(256, size=(NUM_IMAGES, 3, size, size), dtype=np.uint8)


class _ExportClaims(BaseModel):
    """The form of an export job's report."""

    model_config = ConfigDict(extra="forbid", strict=True)

    any_batch: bool


class _FailedError(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def _failed(kind: FailureKind, message: str) -> _FailedError:
    return _FailedError(Failure(Step.EXECUTE, kind, message))


def _compare(one: Floats, other: Floats, what: str) -> float:
    """The largest difference; one above the tolerance, or that is no number, is a failure."""
    difference = float(np.abs(one - other).max())
    if not difference <= _TOLERANCE * max(1.0, float(np.abs(one).max())):
        raise _failed(FailureKind.RUNTIME, f"{what} by up to {difference:.2g}")
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
