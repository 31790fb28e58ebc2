"""``python -m tools.lab check FILE``: the verdict on one source.

With ``--json`` one object: ``verdict`` (``accept``, ``reject``, ``flag``), ``step``, ``kind`` and ``message`` (``null``
without findings), ``params``, ``flops`` and ``fingerprint`` (``null`` if the source does not run), ``isolation`` and
``seconds`` (wall-clock time without the start of the sandbox).

Exit status 0: accepted or flagged, 1: rejected, 2: wrong command or unreadable file, 3: the sandbox failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import select
import stat
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from fairnad import __version__
from fairnad.domain.contract import Contract
from fairnad.errors import BaseModelError, LabError, UserError
from fairnad.records.candidate import CheckReport, Failure, FailureKind, Step, first_fault
from fairnad.settings.search_settings import LabSettings
from tools.checks import Checker, lone_checker
from tools.output import open_missing_streams, until_reader_leaves
from tools.sandbox.isolation import Level, find_level

_MAX_BYTES = 2**20
"""Maximum size that is read; the limit of sources is a sixteenth of it."""
_STDIN = "-"
_EXIT_STATUS = {"accept": 0, "flag": 0, "reject": 1}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict; the fields of the JSON object."""

    verdict: Literal["accept", "reject", "flag"]
    step: str | None
    kind: str | None
    message: str | None
    params: int | None
    flops: int | None
    fingerprint: str | None
    isolation: str
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status, 0 also if the reader of the output leaves early."""
    open_missing_streams()
    return until_reader_leaves(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    try:
        verdict = asyncio.run(_judge(options))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except LabError as error:
        print(f"the sandbox did not work: {error}", file=sys.stderr)
        return 3
    print(json.dumps(asdict(verdict)) if options.json else _text(options, verdict))
    return _EXIT_STATUS[verdict.verdict]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.lab", description="The lab, for single sources.")
    parser.add_argument("--version", action="version", version=f"FairNAD {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    check = commands.add_parser(
        "check",
        help="build, run, measure and judge the Network(num_classes) of a file",
        description="Builds, runs, measures and judges the Network(num_classes) of a file in the sandbox. The exit "
        "status is 0 for accept and flag, 1 for reject, 2 for a mistake in the command, 3 for a broken sandbox.",
    )
    check.add_argument("file", metavar="FILE", help="Python source that defines a class Network; - for standard input")
    check.add_argument("--num-classes", type=_count, default=10, help="classes the network tells apart (default: 10)")
    check.add_argument("--image-size", type=_count, default=32, help="side of the images in pixels (default: 32)")
    check.add_argument("--wall-seconds", type=_seconds, default=20.0, help="wall-clock limit of the job (default: 20)")
    check.add_argument(
        "--integrity", choices=["reject", "warn", "off"], default="reject", help="what integrity faults lead to"
    )
    check.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    return parser


async def _judge(options: argparse.Namespace) -> Verdict:
    content = _read(options.file, options.wall_seconds)
    # Faults only warn in the lab, so that costs are reported with them, and are verdict here.
    settings = LabSettings(
        check_seconds=options.wall_seconds, integrity="off" if options.integrity == "off" else "warn"
    )
    unreadable = _unreadable(content)
    if unreadable is not None:
        return _verdict_on(unreadable, find_level(settings))
    async with lone_checker(settings, Contract.for_images(options.image_size, options.num_classes)) as checker:
        return await judge(content.decode("utf-8"), checker, refuse=options.integrity == "reject")


async def judge(source: str, checker: Checker, *, refuse: bool) -> Verdict:
    """The verdict on a source.

    Args:
        checker: warns of integrity faults, or ignores them.
        refuse: whether a fault is rejected or flagged.

    Raises:
        LabError: the sandbox broke.
    """
    started = time.monotonic()
    report = await checker.check(source)
    return _verdict_on(report, checker.isolation, time.monotonic() - started, refuse=refuse)


def _unreadable(content: bytes) -> Failure | None:
    """The failure of bytes that cannot be a source, else ``None``."""
    if len(content) > _MAX_BYTES:
        return Failure(Step.EXECUTE, FailureKind.SYNTAX, f"the source has more than {_MAX_BYTES} bytes")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return Failure(Step.EXECUTE, FailureKind.SYNTAX, f"the source is not UTF-8 at byte {error.start}")
    return None


def _verdict_on(
    report: CheckReport | Failure, isolation: Level, seconds: float = 0.0, *, refuse: bool = True
) -> Verdict:
    seconds = round(seconds, 3)
    if isinstance(report, Failure):
        step, kind = str(report.step), str(report.kind)
        return Verdict("reject", step, kind, report.message, None, None, None, isolation, seconds)
    finding = first_fault(report.findings) or next(iter(report.findings), None)
    is_rejected = refuse and finding is not None and finding.is_fault
    return Verdict(
        verdict="reject" if is_rejected else "accept" if finding is None else "flag",
        step=None if finding is None else str(Step.JUDGE),
        kind=None if finding is None else str(finding.kind),
        message="; ".join(one.message for one in report.findings) or None,
        params=int(report.costs["params"]),
        flops=int(report.costs["flops"]),
        fingerprint=report.fingerprint,
        isolation=isolation,
        seconds=seconds,
    )


def _text(options: argparse.Namespace, verdict: Verdict) -> str:
    lines = [f"{options.file}: {verdict.verdict}"]
    if verdict.message is not None:
        lines.append(f"  {verdict.step}: {verdict.kind}: {verdict.message}")
    if verdict.params is not None and verdict.flops is not None:
        size = f"{options.image_size}×{options.image_size}"
        lines.append(f"  {verdict.params:,} parameters, {verdict.flops:,} multiply-adds for one image of {size} pixels")
        lines.append(f"  fingerprint {verdict.fingerprint}")
    lines.append(f"  isolation {verdict.isolation}, {verdict.seconds:.1f} s")
    return "\n".join(lines)


def _read(name: str, wall_seconds: float) -> bytes:
    """The content of a file, cut one byte above the limit.

    Raises:
        BaseModelError: the file is missing or not a regular file, or stdin timed out.
    """
    if name == _STDIN:
        return _read_stdin(wall_seconds)
    path = Path(name)
    try:
        # Does not block on a named pipe without a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BaseModelError(f"{name}: expected a Python source, but it cannot be read: {reason}") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            found = "a folder" if stat.S_ISDIR(mode) else "no regular file"
            raise BaseModelError(f"{name}: expected a Python source, found {found}; use - for standard input")
        return _read_up_to(descriptor, _MAX_BYTES + 1)
    finally:
        os.close(descriptor)


def _read_up_to(descriptor: int, num_bytes: int) -> bytes:
    content = b""
    while len(content) < num_bytes and (part := os.read(descriptor, num_bytes - len(content))):
        content += part
    return content


def _read_stdin(wall_seconds: float) -> bytes:
    deadline = time.monotonic() + wall_seconds
    content = bytearray()
    while len(content) <= _MAX_BYTES:
        if not select.select([sys.stdin.fileno()], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise BaseModelError(
                f"standard input: expected a Python source, but it did not end within {wall_seconds:g} s"
            )
        received = os.read(sys.stdin.fileno(), _MAX_BYTES)
        if not received:
            break
        content += received
    return bytes(content)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError(text)
    return number
