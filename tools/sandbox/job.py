"""One job as the parent sees it: its files, its limits, and its result.

Each job gets an own folder. The parent writes ``request.json``, ``candidate.src`` and the inputs, the job writes
``report.json`` and its deliveries. What the job writes comes from untrusted code: it is opened without following links,
limited in size, and validated before use.
"""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from fairnad.records.candidate import Failure, FailureKind, Step

REQUEST_FILE = "request.json"
SOURCE_FILE = "candidate.src"
"""No file of a job ends in ``.py``: a development server that watches the folder would restart."""
REPORT_FILE = "report.json"
WEIGHTS_FILE = "weights.bin"
LOGITS_FILE = "logits.bin"
ONNX_FILE = "best.onnx"
PROBABILITIES_FILE = "probabilities.bin"
MALFORMED_REPORT = "left a malformed report"
MAX_REPORT_BYTES = 2**18
"""Enough for the names and shapes of some thousand weights."""
MAX_MESSAGE_CHARACTERS = 300
MAX_LOG_CHARACTERS = 4000
MAX_SHAPE_TRACE_CHARACTERS = 3000

_CLAIMABLE = {
    FailureKind.SYNTAX,
    FailureKind.POLICY,
    FailureKind.INTERFACE,
    FailureKind.IMPORT,
    FailureKind.SHAPE,
    FailureKind.RUNTIME,
    FailureKind.MEMORY,
    FailureKind.DIVERGED,
    FailureKind.HOPELESS,
}
"""Failures a job may report itself; time limits, crashes and signals are determined by the fork server."""


class JobKind(StrEnum):
    """The kinds of jobs; the child has one function for each."""

    CHECK = "check"
    MEASURE = "measure"
    TRAIN = "train"
    PREDICT = "predict"
    EXPORT = "export"
    INFER = "infer"
    TRY_OUT = "try out"


class EndReason(StrEnum):
    """How a job ended, as observed by the fork server."""

    EXIT = "exit"
    """by itself; the code is its exit status"""
    SIGNAL = "signal"
    """by a signal the fork server did not send; the code is its number"""
    TIME = "time"
    """killed at the wall-clock limit"""
    CPU_TIME = "cpu time"
    """killed at the processor time limit"""
    OUTPUT = "output"
    """killed because it printed too much"""
    STOPPED = "stopped"
    """killed at the request of the parent"""


OUTPUT_BYTES = 1_000_000
"""Bytes a job may print before it is killed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a job: wall-clock seconds, bytes of memory beyond the server's own, bytes of output.

    ``cpu_seconds`` optionally limits processor time, summed over threads, in whole seconds. Unlike wall-clock time it
    does not depend on the load of the machine.
    """

    wall_seconds: float
    memory_bytes: int
    output_bytes: int
    cpu_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """Work for a child of the fork server.

    ``request`` is JSON data for the function of this kind. ``inputs`` are files in the job's folder. ``deliveries`` are
    files it must write there, with their exact length in bytes, ``bounded_deliveries`` files with a maximum length.
    ``readable`` are further files it may read, absolute paths in the sandbox's scratch folder. ``step`` is the step of
    the feedback loop that a failure is attributed to. Without ``has_policy`` the source policy is not enforced.
    """

    kind: JobKind
    step: Step
    source: str
    request: Mapping[str, Any]
    limits: Limits
    device: str = "cpu"
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    deliveries: Mapping[str, int] = field(default_factory=dict)
    bounded_deliveries: Mapping[str, int] = field(default_factory=dict)
    readable: Sequence[Path] = ()
    has_policy: bool = True

    @property
    def files(self) -> Mapping[str, int]:
        """All files it writes, including the report, with their maximum lengths."""
        return {REPORT_FILE: MAX_REPORT_BYTES, **self.deliveries, **self.bounded_deliveries}


@dataclass(frozen=True, slots=True)
class JobEnd:
    """The fork server's report on one job; ``output`` is the tail of what it printed."""

    reason: EndReason
    code: int
    wall_seconds: float
    cpu_seconds: float
    output: str


@dataclass(frozen=True, slots=True)
class JobResult:
    """A failure, or the report and deliveries of a job, complete but not trusted."""

    failure: Failure | None
    wall_seconds: float
    cpu_seconds: float
    report: Mapping[str, Any] = field(default_factory=dict)
    deliveries: Mapping[str, bytes] = field(default_factory=dict)

    def raise_failure(self) -> None:
        """Raise a :class:`FailedJobError` if there is a failure."""
        if self.failure is not None:
            raise FailedJobError(self.failure)


class FailedJobError(Exception):
    """Carries a failure to the caller that reports it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def write_folder(folder: Path, job: Job) -> None:
    """Write everything the job reads."""
    folder.mkdir(mode=0o700)
    (folder / SOURCE_FILE).write_bytes(job.source.encode("utf-8", "surrogatepass"))
    (folder / REQUEST_FILE).write_text(json.dumps(job.request))
    for name, content in job.inputs.items():
        (folder / name).write_bytes(content)


def read_result(folder: Path, job: Job, end: JobEnd) -> JobResult:
    """The result of a job that has ended: first the fork server's report, then the job's own."""
    try:
        report = _read_report(folder, job, end)
        deliveries = {name: _read_delivery(folder / name, size) for name, size in job.deliveries.items()}
        for name, most in job.bounded_deliveries.items():
            deliveries[name] = _read_bounded(folder / name, most)
    except _JobFailedError as error:
        message = printable(error.message, MAX_MESSAGE_CHARACTERS)
        failure = Failure(job.step, error.kind, message, error.log_tail, error.shape_trace)
        return JobResult(failure, end.wall_seconds, end.cpu_seconds)
    return JobResult(None, end.wall_seconds, end.cpu_seconds, report, deliveries)


def printable(text: str, max_characters: int) -> str:
    """The last characters of ``text``, with control characters and lone surrogates escaped."""
    text = text if len(text) <= max_characters else "…" + text[1 - max_characters :]
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


class _JobFailedError(Exception):
    def __init__(self, kind: FailureKind, message: str, log_tail: str = "", shape_trace: str = "") -> None:
        super().__init__(message)
        self.kind, self.message = kind, message
        self.log_tail = printable(log_tail, MAX_LOG_CHARACTERS)
        self.shape_trace = printable(shape_trace, MAX_SHAPE_TRACE_CHARACTERS)


class _FailureClaim(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Annotated[str, StringConstraints(max_length=32)]
    message: str
    log_tail: str
    shape_trace: str = ""


def _read_report(folder: Path, job: Job, end: JobEnd) -> Mapping[str, Any]:
    if end.reason is not EndReason.EXIT or end.code != 0:
        kind, message = _death(job.limits, end)
        raise _JobFailedError(kind, message, end.output)
    try:
        content = _read_file(folder / REPORT_FILE, MAX_REPORT_BYTES)
        if not content:
            raise _JobFailedError(FailureKind.CRASH, "ended without a complete report", end.output)
        report = json.loads(content, parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise _JobFailedError(FailureKind.CRASH, MALFORMED_REPORT, end.output) from error
    if isinstance(report, dict) and report.keys() == {"result"} and isinstance(report["result"], dict):
        return report["result"]
    try:
        claim = _FailureClaim.model_validate(report.get("failure") if isinstance(report, dict) else None)
    except ValidationError as error:
        raise _JobFailedError(FailureKind.CRASH, MALFORMED_REPORT, end.output) from error
    if claim.kind not in _CLAIMABLE:
        raise _JobFailedError(FailureKind.CRASH, MALFORMED_REPORT, end.output)
    message = claim.message.replace("\n", " ")
    raise _JobFailedError(FailureKind(claim.kind), message, claim.log_tail, claim.shape_trace)


def _death(limits: Limits, end: JobEnd) -> tuple[FailureKind, str]:
    if end.reason is EndReason.TIME:
        return FailureKind.TIMEOUT, f"killed at the limit of {limits.wall_seconds:g} seconds"
    if end.reason is EndReason.CPU_TIME:
        return FailureKind.TIMEOUT, f"killed at the limit of {limits.cpu_seconds:g} seconds of processor time"
    if end.reason is EndReason.OUTPUT:
        return FailureKind.CRASH, f"killed because it printed more than {limits.output_bytes} bytes"
    if end.reason is EndReason.SIGNAL:
        name = signal.Signals(end.code).name if end.code in list(signal.Signals) else f"signal {end.code}"
        return FailureKind.CRASH, f"killed by {name}"
    return FailureKind.CRASH, f"ended with exit status {end.code} and no report"


def _read_delivery(path: Path, size: int) -> bytes:
    content = _read_bounded(path, size, expected=f"{size} bytes")
    if len(content) != size:
        raise _JobFailedError(FailureKind.CRASH, f"{path.name}: expected {size} bytes, found: {len(content)} bytes")
    return content


def _read_bounded(path: Path, most: int, expected: str = "") -> bytes:
    try:
        return _read_file(path, most)
    except (OSError, ValueError) as error:
        found = error.strerror if isinstance(error, OSError) else error
        expected = expected or f"up to {most} bytes"
        raise _JobFailedError(FailureKind.CRASH, f"{path.name}: expected {expected}, found: {found}") from error


def _read_file(path: Path, max_bytes: int) -> bytes:
    """The content of a regular file. Links are not followed, and a named pipe cannot block the parent.

    Raises:
        OSError: the file is missing.
        ValueError: it is not a regular file, or larger than ``max_bytes``.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 (a path cannot be opened with these flags)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        if status.st_size > max_bytes:
            raise ValueError(f"{status.st_size} bytes")
        return file.read(max_bytes + 1)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
