"""Handles standard streams whose reader closes them early, such as ``head``, or that are closed at the start."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Callable
from typing import TextIO


def until_reader_leaves(work: Callable[[], int], status_then: int = 0) -> int:
    """The exit status of ``work``, or ``status_then`` if the reader of stdout or stderr has left.

    Raises:
        BrokenPipeError: another pipe or socket broke.
    """
    try:
        try:
            status = work()
        except SystemExit:  # --help and --version
            _flush()
            raise
        _flush()
    except BrokenPipeError:
        unread = [stream for stream in (sys.stdout, sys.stderr) if _has_lost_its_reader(stream)]
        if not unread:
            raise
        # Buffered output would raise again when the interpreter closes the streams.
        for stream in unread:
            point_at_nothing(stream.fileno())
        return status_then
    return status


def open_missing_streams() -> None:
    """Replace each standard stream that the caller has closed (``>&-``) by the null device.

    Otherwise the next file or socket would get its number, and children would write to it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            point_at_nothing(number)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _has_lost_its_reader(stream: TextIO) -> bool:
    """Whether the reading end of a stream is closed."""
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return bool(poll.poll(0))  # with no events requested, only errors and hang-ups are reported


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def point_at_nothing(descriptor: int) -> None:
    """Redirect a descriptor to the null device."""
    opened = os.open(os.devnull, os.O_RDWR)
    os.dup2(opened, descriptor)
    if opened != descriptor:
        os.close(opened)
