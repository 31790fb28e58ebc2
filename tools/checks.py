"""Checks of sources, each source once: what the check job found out, remembered by the text it was asked about."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from fairnad.errors import StoppingError
from fairnad.records.candidate import CheckReport, Failure, FailureKind, Finding, Step, first_fault
from fairnad.settings.search_settings import Integrity, LabSettings
from tools.agreement import UNDECIDED
from tools.check_claims import Claims, FindingClaim, Measured, Refusal
from tools.delivery import excess
from tools.jobs.weights import WeightTensor, num_weight_bytes
from tools.sandbox.isolation import Level
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
from tools.slots import Slot

MEASURED = ("latency_ms", "activation_bytes")
"""The costs that are measured where a limit on them is stated: see :mod:`tools.jobs.measure_job`."""
_CHECK_SEED = 0
_MAX_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class Checked:
    """A source that runs.

    ``layout`` says what the weights a training of it delivers must be, to the byte; ``copies`` which of them are
    others under a second name, as positions of the copy and of what it is a copy of. ``tables`` are the positions of
    tensors that a training must leave alone, with digests of what a build with the check's seed holds there.
    """

    report: CheckReport
    layout: tuple[WeightTensor, ...]
    copies: tuple[tuple[int, int], ...]
    tables: tuple[tuple[int, str], ...]

    @property
    def num_weight_bytes(self) -> int:
        """The length of what a training of the source delivers."""
        return num_weight_bytes(self.layout)

    @property
    def is_undecided(self) -> bool:
        """Whether a verdict on the source is left to the scoring of the trained network."""
        return any(finding.message.startswith(UNDECIDED) for finding in self.report.findings)


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
            "integrity": settings.integrity,
        }
        self._slots = asyncio.Semaphore(num_slots)
        self._stopping = False
        self._remembered: OrderedDict[bytes, asyncio.Task[Checked | Failure]] = OrderedDict()

    @property
    def isolation(self) -> Level:
        """How the sandbox shuts jobs in."""
        return self._sandbox.isolation

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

    async def examine_in(self, slot: Slot, source: str, seed: int) -> Checked | Failure:
        """As :meth:`examine`, at the place of a training and with its seed; nothing is remembered.

        Raises:
            StoppingError: the check was cut off because the run is being stopped.
            LabError: the sandbox broke.
        """
        job = self._job(source)
        job = replace(job, request={**job.request, "seed": seed})
        return _checked(await slot.run(job), self._integrity)

    def _forget_unfinished(self, key: bytes, task: asyncio.Task[Checked | Failure]) -> None:
        """An answer is remembered; a job that was cut off, or that the sandbox broke under, has none."""
        if (task.cancelled() or task.exception() is not None) and self._remembered.get(key) is task:
            del self._remembered[key]

    def _job(self, source: str) -> Job:
        return Job(JobKind.CHECK, Step.EXECUTE, source, self._request, self._limits)

    async def _run(self, source: str) -> Checked | Failure:
        job = self._job(source)
        async with self._slots:
            if self._stopping:
                raise StoppingError("the check was not begun because the run is being stopped")
            checked = _checked(await self._sandbox.run(job), self._integrity)
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
            claims = Measured.model_validate(measured.report)
        except ValidationError:
            return Failure(Step.EXECUTE, FailureKind.CRASH, MALFORMED_REPORT)
        costs = {name: float(getattr(claims, name)) for name in self._measured}
        report = replace(checked.report, costs={**checked.report.costs, **costs})
        return replace(checked, report=report)


def _checked(result: JobResult, integrity: Integrity) -> Checked | Failure:
    if result.failure is not None:
        return result.failure
    try:
        if integrity == "reject" and result.report.keys() == {"findings"}:
            refused = Refusal.model_validate_json(json.dumps(result.report))
            return _refused([_finding(claim) for claim in refused.findings])
        claims = Claims.model_validate_json(json.dumps(result.report))
    except ValidationError:
        return Failure(Step.EXECUTE, FailureKind.CRASH, MALFORMED_REPORT)
    findings = tuple(_findings(claims)) if integrity != "off" else ()
    if integrity == "reject" and first_fault(findings) is not None:
        return _refused(findings)
    report = CheckReport(
        costs={name: float(cost) for name, cost in claims.costs.items()},
        fingerprint=claims.fingerprint,
        num_repeats=claims.num_repeats,
        num_buffer_elements=claims.num_buffer_elements,
        blocks=claims.blocks,
        seconds=result.wall_seconds,
        findings=findings,
    )
    return Checked(report, claims.weights, claims.copies, claims.tables)


def _refused(findings: Sequence[Finding]) -> Failure:
    fault = first_fault(findings)
    assert fault is not None, "a refusal has a reason"
    return Failure(Step.JUDGE, fault.kind, fault.message)


def _finding(claim: FindingClaim) -> Finding:
    message = printable(claim.message.replace("\n", " "), MAX_MESSAGE_CHARACTERS)
    return Finding(claim.kind, message, claim.is_fault)


def _findings(claims: Claims) -> Iterator[Finding]:
    """What the job found, and what the layout it claims shows."""
    yield from map(_finding, claims.findings)
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
        sandbox = Sandbox(Path(scratch), settings)
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
