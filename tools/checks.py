"""Checks of sources, each source once: what the check job found out, remembered by the text it was asked about."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    Strict,
    StringConstraints,
    ValidationError,
    model_validator,
)

from fairnad.candidate import INTEGRITY_KINDS, CheckReport, Failure, FailureKind, Finding, Step
from fairnad.errors import StoppingError
from fairnad.settings import LabSettings
from tools.delivery import Role, excess, num_params
from tools.jobs.weights import WeightTensor, num_weight_bytes
from tools.sandbox.job import (
    MALFORMED_REPORT,
    MAX_MESSAGE_CHARACTERS,
    Job,
    JobKind,
    JobResult,
    Limits,
    printable,
)
from tools.sandbox.supervisor import Sandbox

MEASURED = ("latency_ms", "activation_bytes")
"""The costs that are measured where a limit on them is stated: see :mod:`tools.jobs.measure_job`."""
_CHECK_SEED = 0
_MAX_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class Checked:
    """A source that runs.

    ``layout`` says what the weights a training of it delivers must be, to the byte; ``copies`` which of them are
    others under a second name, as positions of the copy and of what it is a copy of.
    """

    report: CheckReport
    layout: tuple[WeightTensor, ...]
    copies: tuple[tuple[int, int], ...]

    @property
    def num_weight_bytes(self) -> int:
        """The length of what a training of the source delivers."""
        return num_weight_bytes(self.layout)


class Checker:
    """Runs check jobs, always on the CPU: the fork server is warm there, and a few images need no GPU."""

    def __init__(
        self,
        sandbox: Sandbox,
        settings: LabSettings,
        num_classes: int,
        image_size: int,
        num_slots: int,
        measured: Collection[str] = (),
        device: str = "cpu",
    ) -> None:
        """Nothing is run yet.

        Args:
            measured: the costs wanted, by name; those of :data:`MEASURED` take a job of their own.
            device: where those are measured.
        """
        self._sandbox = sandbox
        self._measured = [name for name in MEASURED if name in measured]
        self._device = device
        self._limits = Limits(settings.check_seconds, int(settings.memory), int(settings.output))
        self._integrity = settings.integrity
        self._request = {
            "num_classes": num_classes,
            "image_size": image_size,
            "seed": _CHECK_SEED,
            "judge": settings.integrity != "off",
        }
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
            task = self._remembered[key] = asyncio.create_task(self._run(source))
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
            checked = _checked(await self._sandbox.run(job), judge=self._integrity != "off")
        fault = first_fault(checked.report.findings) if isinstance(checked, Checked) else None
        if fault is not None and self._integrity == "reject":
            return Failure(Step.JUDGE, fault.kind, fault.message)
        return checked if isinstance(checked, Failure) or not self._measured else await self._measure(source, checked)

    async def _measure(self, source: str, checked: Checked) -> Checked | Failure:
        """Add what the source costs when it runs by itself."""
        job = Job(
            JobKind.MEASURE,
            Step.EXECUTE,
            source,
            self._request | {"device": self._device},
            self._limits,
            device=self._device.split(":")[0],
        )
        async with self._slots:
            measured = await self._sandbox.run(job)
        if measured.failure is not None:
            return measured.failure
        try:
            claims = _Measured.model_validate(measured.report)
        except ValidationError:
            return Failure(Step.EXECUTE, FailureKind.CRASH, MALFORMED_REPORT)
        costs = {name: float(getattr(claims, name)) for name in self._measured}
        report = replace(checked.report, costs={**checked.report.costs, **costs})
        return replace(checked, report=report)


def first_fault(findings: Sequence[Finding]) -> Finding | None:
    """The finding a network is refused for, ``None`` where there is none."""
    return next((finding for finding in findings if finding.is_fault), None)


def _storable(layout: tuple[WeightTensor, ...]) -> tuple[WeightTensor, ...]:
    """Refuse names a weights file cannot hold; those of a network's state dict are never among them."""
    names = {tensor.name for tensor in layout}
    if len(names) < len(layout) or "__metadata__" in names:
        raise ValueError("the weights need a name of their own each")
    return layout


class _Measured(BaseModel):
    """The form of a measure job's report."""

    model_config = ConfigDict(extra="forbid", strict=True)

    latency_ms: Annotated[FiniteFloat, Field(gt=0)]
    activation_bytes: NonNegativeInt


def _of_integrity(kind: FailureKind) -> FailureKind:
    if kind not in INTEGRITY_KINDS:
        raise ValueError("expected the kind of an integrity verdict")
    return kind


class _FindingClaim(BaseModel):
    """What a check job says its integrity verdicts found."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Annotated[FailureKind, Strict(False), AfterValidator(_of_integrity)]
    message: Annotated[str, StringConstraints(max_length=1000)]
    is_fault: bool


class _Claims(BaseModel):
    """The form of a check job's report; its content is taken as a claim."""

    model_config = ConfigDict(extra="forbid", strict=True)

    costs: dict[Annotated[str, StringConstraints(pattern=r"^(params|flops)$")], NonNegativeInt] = Field(min_length=2)
    fingerprint: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    num_repeats: PositiveInt
    num_buffer_elements: NonNegativeInt
    weights: Annotated[tuple[WeightTensor, ...], AfterValidator(_storable)]
    roles: tuple[Annotated[Role, Strict(False)], ...]
    copies: tuple[tuple[NonNegativeInt, NonNegativeInt], ...]
    blocks: tuple[tuple[str, str, tuple[int, ...]], ...]
    findings: tuple[_FindingClaim, ...]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        """What is delivered is what is counted, and every copy has an original."""
        if len(self.roles) != len(self.weights):
            raise ValueError("every tensor needs a role")
        if num_params(self.weights, self.roles) != self.costs["params"]:
            raise ValueError("the parameters are others than those that are delivered")
        copies = {copy for copy, original in self.copies if original < copy and self._are_alike(copy, original)}
        if copies != {number for number, role in enumerate(self.roles) if role is Role.COPY}:
            raise ValueError("a copy has no original")
        return self

    def _are_alike(self, copy: int, original: int) -> bool:
        return copy < len(self.weights) and self.weights[copy][1:] == self.weights[original][1:]


def _checked(result: JobResult, *, judge: bool) -> Checked | Failure:
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
        findings=tuple(_findings(claims)) if judge else (),
    )
    return Checked(report, claims.weights, claims.copies)


def _findings(claims: _Claims) -> Iterator[Finding]:
    """What the job found, and what the layout it claims shows; its words are cut and made printable."""
    for claim in claims.findings:
        message = printable(claim.message.replace("\n", " "), MAX_MESSAGE_CHARACTERS)
        yield Finding(claim.kind, message, claim.is_fault)
    if not any(claim.kind is FailureKind.HIDDEN_WEIGHTS for claim in claims.findings):
        yield from excess(claims.weights, claims.roles)


@asynccontextmanager
async def lone_checker(
    settings: LabSettings, num_classes: int, image_size: int, measured: Collection[str] = (), device: str = "cpu"
) -> AsyncIterator[Checker]:
    """A checker with a sandbox that is started for it alone, in a folder that is removed again.

    Raises:
        StorageError: the folder cannot be written.
        LabError: the sandbox did not start or broke.
    """
    with tempfile.TemporaryDirectory(prefix="fairnad-") as scratch:
        sandbox = Sandbox(Path(scratch))
        try:
            await sandbox.start()
            yield Checker(sandbox, settings, num_classes, image_size, 1, measured, device)
        finally:
            await sandbox.close()


async def check_alone(
    source: str,
    settings: LabSettings,
    num_classes: int,
    image_size: int,
    measured: Collection[str] = (),
    device: str = "cpu",
) -> CheckReport | Failure:
    """One check by a :func:`lone_checker`.

    Raises:
        StorageError: the folder cannot be written.
        LabError: the sandbox did not start or broke.
    """
    async with lone_checker(settings, num_classes, image_size, measured, device) as checker:
        return await checker.check(source)
