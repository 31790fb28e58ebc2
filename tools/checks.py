"""Runs check and measure jobs and validates their reports; each source is checked once."""

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

from fairnad.domain.contract import Contract
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
    OUTPUT_BYTES,
    Job,
    JobKind,
    JobResult,
    Limits,
    printable,
)
from tools.sandbox.supervisor import Sandbox
from tools.slots import Slot

MEASURED = ("latency_ms", "activation_bytes")
"""Costs that are measured if they are limited: see :mod:`tools.jobs.measure_job`."""
_CHECK_SEED = 0
_MAX_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class Checked:
    """A source that passed its check.

    ``layout`` describes the weights of a training, ``copies`` holds positions of tensors with a second name, as (copy,
    original). ``tables`` are positions of tensors that training must not change, with the digests of their content in
    a build with the seed of the check.
    """

    report: CheckReport
    layout: tuple[WeightTensor, ...]
    copies: tuple[tuple[int, int], ...]
    tables: tuple[tuple[int, str], ...]

    @property
    def num_weight_bytes(self) -> int:
        """The size of the weights of a training."""
        return num_weight_bytes(self.layout)

    @property
    def is_undecided(self) -> bool:
        """Whether the scoring of the trained network has to decide a verdict."""
        return any(finding.message.startswith(UNDECIDED) for finding in self.report.findings)


class Checker:
    """Runs check jobs, always on the CPU: a few examples need no GPU."""

    def __init__(
        self,
        sandbox: Sandbox,
        settings: LabSettings,
        contract: Contract,
        num_slots: int,
        measured: Collection[str] = (),
        device: str = "cpu",
    ) -> None:
        """Nothing runs yet.

        Args:
            measured: names of costs; those in :data:`MEASURED` need a measure job.
            device: of the measure jobs.
        """
        self._sandbox = sandbox
        self._measured = [name for name in MEASURED if name in measured]
        self._device = device
        self._limits = Limits(settings.check_seconds, int(settings.memory), OUTPUT_BYTES)
        self._integrity = settings.integrity
        self._request = {
            "contract": contract.to_json(),
            "seed": _CHECK_SEED,
            "integrity": settings.integrity,
        }
        self._slots = asyncio.Semaphore(num_slots)
        self._stopping = False
        self._remembered: OrderedDict[bytes, asyncio.Task[Checked | Failure]] = OrderedDict()

    @property
    def isolation(self) -> Level:
        """The isolation level of the sandbox."""
        return self._sandbox.isolation

    def stop(self) -> None:
        """Start no new check; remembered results are still returned."""
        self._stopping = True

    async def check(self, source: str) -> CheckReport | Failure:
        """The report on a source, or its failure."""
        checked = await self.examine(source)
        return checked if isinstance(checked, Failure) else checked.report

    async def examine(self, source: str) -> Checked | Failure:
        """Like :meth:`check`, with weights and tables. Concurrent calls for the same source share one job."""
        key = hashlib.sha256(source.encode("utf-8", "surrogatepass")).digest()
        task = self._remembered.get(key)
        if task is None:
            # In an empty context: a remembered task would keep alive everything in the caller's context.
            task = self._remembered[key] = asyncio.create_task(self._run(source), context=Context())
            task.add_done_callback(lambda done: self._forget_unfinished(key, done))
            if len(self._remembered) > _MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        self._remembered.move_to_end(key)
        # Shielded: a cancelled caller must not cancel the check for the others.
        return await asyncio.shield(task)

    async def examine_in(self, slot: Slot, source: str, seed: int) -> Checked | Failure:
        """Like :meth:`examine`, in the slot of a training and with its seed; not remembered."""
        job = self._job(source)
        job = replace(job, request={**job.request, "seed": seed})
        return _read_report(await slot.run(job), self._integrity)

    def _forget_unfinished(self, key: bytes, task: asyncio.Task[Checked | Failure]) -> None:
        """Forget checks that were cancelled or raised an error."""
        if (task.cancelled() or task.exception() is not None) and self._remembered.get(key) is task:
            del self._remembered[key]

    def _job(self, source: str) -> Job:
        return Job(JobKind.CHECK, Step.EXECUTE, source, self._request, self._limits)

    async def _run(self, source: str) -> Checked | Failure:
        job = self._job(source)
        async with self._slots:
            if self._stopping:
                raise StoppingError("the check did not start because the run is being stopped")
            checked = _read_report(await self._sandbox.run(job), self._integrity)
        return checked if isinstance(checked, Failure) or not self._measured else await self._measure(source, checked)

    async def _measure(self, source: str, checked: Checked) -> Checked | Failure:
        """Add measured costs."""
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


def _read_report(result: JobResult, integrity: Integrity) -> Checked | Failure:
    if result.failure is not None:
        return result.failure
    try:
        if integrity == "reject" and result.report.keys() == {"findings"}:
            refused = Refusal.model_validate_json(json.dumps(result.report))
            return _refuse([_read_finding(claim) for claim in refused.findings])
        claims = Claims.model_validate_json(json.dumps(result.report))
    except ValidationError:
        return Failure(Step.EXECUTE, FailureKind.CRASH, MALFORMED_REPORT)
    findings = tuple(_read_findings(claims)) if integrity != "off" else ()
    if integrity == "reject" and first_fault(findings) is not None:
        return _refuse(findings)
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


def _refuse(findings: Sequence[Finding]) -> Failure:
    fault = first_fault(findings)
    assert fault is not None, "a refusal needs a fault"
    return Failure(Step.JUDGE, fault.kind, fault.message)


def _read_finding(claim: FindingClaim) -> Finding:
    message = printable(claim.message.replace("\n", " "), MAX_MESSAGE_CHARACTERS)
    return Finding(claim.kind, message, claim.is_fault)


def _read_findings(claims: Claims) -> Iterator[Finding]:
    """The findings of the job and of the layout it reported."""
    yield from map(_read_finding, claims.findings)
    if not any(claim.kind is FailureKind.HIDDEN_WEIGHTS for claim in claims.findings):
        yield from excess(claims.weights, claims.roles)


@asynccontextmanager
async def lone_checker(
    settings: LabSettings, contract: Contract, measured: Collection[str] = (), device: str = "cpu"
) -> AsyncIterator[Checker]:
    """A checker with an own sandbox in a temporary folder.

    Raises:
        StorageError: the folder cannot be written.
        LabError: the sandbox did not start or broke.
    """
    with tempfile.TemporaryDirectory(prefix="fairnad-") as scratch:
        sandbox = Sandbox(Path(scratch), settings)
        try:
            await sandbox.start()
            yield Checker(sandbox, settings, contract, 1, measured, device)
        finally:
            await sandbox.close()
