"""Checks of sources, each source once: what the check job found out, remembered by the text it was asked about."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from collections import OrderedDict
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    StringConstraints,
    ValidationError,
)

from fairnad.candidate import CheckReport, Failure, FailureKind, Step
from fairnad.errors import StoppingError
from fairnad.settings import LabSettings
from tools.jobs.weights import WeightTensor, num_weight_bytes
from tools.sandbox.job import MALFORMED_REPORT, Job, JobKind, JobResult, Limits
from tools.sandbox.supervisor import Sandbox

_CHECK_SEED = 0
_MAX_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class Checked:
    """A source that runs. ``layout`` says what the weights a training of it delivers must be, to the byte."""

    report: CheckReport
    layout: tuple[WeightTensor, ...]

    @property
    def num_weight_bytes(self) -> int:
        """The length of what a training of the source delivers."""
        return num_weight_bytes(self.layout)


class Checker:
    """Runs check jobs, always on the CPU: the fork server is warm there, and two images need no GPU."""

    def __init__(
        self, sandbox: Sandbox, settings: LabSettings, num_classes: int, image_size: int, num_slots: int
    ) -> None:
        self._sandbox = sandbox
        self._limits = Limits(settings.check_seconds, int(settings.memory), int(settings.output))
        self._request = {"num_classes": num_classes, "image_size": image_size, "seed": _CHECK_SEED}
        self._slots = asyncio.Semaphore(num_slots)
        self._stopping = False
        self._remembered: OrderedDict[bytes, asyncio.Task[Checked | Failure]] = OrderedDict()

    def stop(self) -> None:
        """Begin no new check; what is known is still answered."""
        self._stopping = True

    async def check(self, source: str) -> CheckReport | Failure:
        """The report on a source, or why it does not run.

        Raises:
            StoppingError: the check was cut off because the run is being stopped.
            LabError: the sandbox broke.
        """
        checked = await self.examine(source)
        return checked if isinstance(checked, Failure) else checked.report

    async def examine(self, source: str) -> Checked | Failure:
        """As :meth:`check`, with what the report leaves out. Those who ask for the same source share one job."""
        key = hashlib.sha256(source.encode("utf-8", "surrogatepass")).digest()
        task = self._remembered.get(key)
        if task is None:
            # In a context of its own: what is remembered would keep everything alive that the asker's context holds.
            task = self._remembered[key] = asyncio.create_task(self._run(source), context=Context())
            task.add_done_callback(lambda done: self._forget_unfinished(key, done))
            if len(self._remembered) > _MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        self._remembered.move_to_end(key)
        # Shielded: who stops waiting does not take the answer away from the others.
        return await asyncio.shield(task)

    def _forget_unfinished(self, key: bytes, task: asyncio.Task[Checked | Failure]) -> None:
        """An answer is remembered; a job that was cut off, or that the sandbox broke under, has none."""
        if (task.cancelled() or task.exception() is not None) and self._remembered.get(key) is task:
            del self._remembered[key]

    async def _run(self, source: str) -> Checked | Failure:
        job = Job(JobKind.CHECK, Step.EXECUTE, source, self._request, self._limits)
        async with self._slots:
            if self._stopping:
                raise StoppingError("the check was not begun because the run is being stopped")
            return _checked(await self._sandbox.run(job))


def _storable(layout: tuple[WeightTensor, ...]) -> tuple[WeightTensor, ...]:
    """Refuse names a weights file cannot hold; those of a network's state dict are never among them."""
    names = {tensor.name for tensor in layout}
    if len(names) < len(layout) or "__metadata__" in names:
        raise ValueError("the weights need a name of their own each")
    return layout


class _Claims(BaseModel):
    """The form of a check job's report; its content is taken as a claim."""

    model_config = ConfigDict(extra="forbid", strict=True)

    costs: dict[Annotated[str, StringConstraints(pattern=r"^(params|flops)$")], NonNegativeInt] = Field(min_length=2)
    fingerprint: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    num_repeats: PositiveInt
    num_buffer_elements: NonNegativeInt
    weights: Annotated[tuple[WeightTensor, ...], AfterValidator(_storable)]
    blocks: tuple[tuple[str, str, tuple[int, ...]], ...]


def _checked(result: JobResult) -> Checked | Failure:
    if result.failure is not None:
        return result.failure
    try:
        claims = _Claims.model_validate_json(json.dumps(result.report))
    except ValidationError:
        return Failure(Step.EXECUTE, FailureKind.CRASH, MALFORMED_REPORT)
    report = CheckReport(
        costs={name: float(cost) for name, cost in claims.costs.items()},
        fingerprint=claims.fingerprint,
        num_repeats=claims.num_repeats,
        num_buffer_elements=claims.num_buffer_elements,
        blocks=claims.blocks,
        seconds=result.wall_seconds,
    )
    return Checked(report, claims.weights)


async def check_alone(source: str, settings: LabSettings, num_classes: int, image_size: int) -> CheckReport | Failure:
    """One check in a sandbox that is started for it alone, in a folder that is removed again.

    Raises:
        StorageError: the folder cannot be written.
        LabError: the sandbox did not start or broke.
    """
    with tempfile.TemporaryDirectory(prefix="fairnad-") as scratch:
        sandbox = Sandbox(Path(scratch))
        try:
            await sandbox.start()
            return await Checker(sandbox, settings, num_classes, image_size, num_slots=1).check(source)
        finally:
            await sandbox.close()
