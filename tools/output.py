"""Standard output of a command whose reader may leave early, as ``head`` does, or was never there."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable


def until_reader_leaves(work: Callable[[], int], status_then: int = 0) -> int:
    """The exit status of ``work``; ``status_then`` where the reader of stdout or stderr has left."""
    try:
        try:
            status = work()
        except SystemExit:  # --help and --version
            _flush()
            raise
        _flush()
    except BrokenPipeError:
        # What is still buffered would raise again when the interpreter closes the streams.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(io.UnsupportedOperation):
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


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def point_at_nothing(descriptor: int) -> None:
    """Let a descriptor read and write the null device from now on."""
    opened = os.open(os.devnull, os.O_RDWR)
    os.dup2(opened, descriptor)
    if opened != descriptor:
        os.close(opened)
