"""Standard output of a command whose reader may leave early, as ``head`` does, or whose streams are closed."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Callable
from typing import TextIO


def until_reader_leaves(work: Callable[[], int], status_then: int = 0) -> int:
    """The exit status of ``work``; ``status_then`` where the reader of stdout or stderr has left.

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
        # What is still buffered would raise again when the interpreter closes the streams.
        for stream in unread:
            point_at_nothing(stream.fileno())
        return status_then
    return status


def open_missing_streams() -> None:
    """Open the null device in place of each standard stream that the caller has closed (``>&-``).

    The next file or socket would get the free number otherwise, and children would write into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            point_at_nothing(number)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _has_lost_its_reader(stream: TextIO) -> bool:
    """Whether nobody can read any more what is written to a stream."""
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return bool(poll.poll(0))  # errors and hang-ups alone are reported for no event


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def point_at_nothing(descriptor: int) -> None:
    """Let a descriptor read and write the null device from now on."""
    opened = os.open(os.devnull, os.O_RDWR)
    os.dup2(opened, descriptor)
    if opened != descriptor:
        os.close(opened)
