"""One job as the parent sees it: what it is given, what it may take, and what is believed of its end.

A job gets a folder of its own. The parent writes ``request.json``, ``candidate.src`` and the inputs into it; the
job leaves ``report.json`` and its deliveries. Everything a job leaves is a claim by code that nobody has read: it
is opened without following links, cut to its size and checked before it is used.
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
"""No file of a job ends in ``.py``: a development server that watches the folder would restart at every one."""
REPORT_FILE = "report.json"
WEIGHTS_FILE = "weights.bin"
LOGITS_FILE = "logits.bin"
ONNX_FILE = "best.onnx"
PROBABILITIES_FILE = "probabilities.bin"
MALFORMED_REPORT = "left a malformed report"
MAX_REPORT_BYTES = 2**18
"""Room for the names and shapes of some thousand weights."""
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
"""What a job may say of itself; time limits, crashes and signals are the supervisor's to state."""


class JobKind(StrEnum):
    """What a job does; the child has one function for each."""

    CHECK = "check"
    MEASURE = "measure"
    TRAIN = "train"
    PREDICT = "predict"
    EXPORT = "export"
    INFER = "infer"
    TRY_OUT = "try out"


class EndReason(StrEnum):
    """How a job ended, as the fork server saw it."""

    EXIT = "exit"
    """by itself; the code is its exit status"""
    SIGNAL = "signal"
    """by a signal the fork server did not send; the code is its number"""
    TIME = "time"
    """killed at the wall-clock limit"""
    CPU_TIME = "cpu time"
    """killed at the limit of processor time"""
    OUTPUT = "output"
    """killed because it printed more than it may"""
    STOPPED = "stopped"
    """killed because the parent asked for it"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a job may take: wall-clock seconds, bytes of memory beyond the server's own, bytes of output.

    ``cpu_seconds`` of processor time, all threads together and whole seconds as the kernel counts them, end a job as
    well where they are set: other than the wall clock they do not depend on what else the machine does.
    """

    wall_seconds: float
    memory_bytes: int
    output_bytes: int
    cpu_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """Work for a child of the fork server.

    ``request`` is JSON data for the function of this kind. ``inputs`` are files the job finds in its folder, and
    ``deliveries`` the files it must leave there, each with its exact length in bytes; those in ``bounded_deliveries``
    may have any length up to that. ``readable`` are further files it may read, absolute paths in the sandbox's scratch.
    ``step`` is the step of the feedback loop a failure of this job belongs to. Without ``has_policy`` its source runs
    whatever it says, and the jail alone holds it.
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
        """All files it leaves, the report among them, with the length each may have at most."""
        return {REPORT_FILE: MAX_REPORT_BYTES, **self.deliveries, **self.bounded_deliveries}


@dataclass(frozen=True, slots=True)
class JobEnd:
    """The fork server's account of one job. ``output`` is the end of what it printed."""

    reason: EndReason
    code: int
    wall_seconds: float
    cpu_seconds: float
    output: str


@dataclass(frozen=True, slots=True)
class JobResult:
    """What came of a job: a failure, or else its report and deliveries, complete but not believed."""

    failure: Failure | None
    wall_seconds: float
    cpu_seconds: float
    report: Mapping[str, Any] = field(default_factory=dict)
    deliveries: Mapping[str, bytes] = field(default_factory=dict)


def write_folder(folder: Path, job: Job) -> None:
    """Lay out everything the job reads."""
    folder.mkdir(mode=0o700)
    (folder / SOURCE_FILE).write_bytes(job.source.encode("utf-8", "surrogatepass"))
    (folder / REQUEST_FILE).write_text(json.dumps(job.request))
    for name, content in job.inputs.items():
        (folder / name).write_bytes(content)


def read_result(folder: Path, job: Job, end: JobEnd) -> JobResult:
    """The verdict on a job that has ended: the supervisor's word first, then the job's own report."""
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
    """``text`` cut to its last characters, with control characters and lone surrogates written as escapes."""
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
    """A regular file's content. Links are not followed, and a pipe put in its place cannot block the parent.

    Raises:
        OSError: there is no such file.
        ValueError: it is not a regular file, or larger than ``max_bytes``.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 (a path cannot be opened with these flags)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("something else than a file")
        if status.st_size > max_bytes:
            raise ValueError(f"{status.st_size} bytes")
        return file.read(max_bytes + 1)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
