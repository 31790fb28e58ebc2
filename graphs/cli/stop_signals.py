"""SIGINT, SIGTERM and SIGHUP as a future, to wait for together with the work."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

from tools.output import point_at_nothing


@contextlib.contextmanager
def stop_signals() -> Iterator[asyncio.Future[int]]:
    """A future with the number of the first stop signal; a second signal ends the process at once.

    The second signal skips all cleanup, as ``kill -9`` does. The sandbox notices the closed channel and kills its jobs.
    """
    loop = asyncio.get_running_loop()
    caught: asyncio.Future[int] = loop.create_future()

    def stop(number: int) -> None:
        if caught.done():
            _end_at_once(128 + number)
        for descriptor in terminals:
            if not os.isatty(descriptor):  # the terminal is gone: every write would fail
                point_at_nothing(descriptor)
        caught.set_result(number)

    handled = handled_signals()
    terminals = [stream.fileno() for stream in (sys.stdout, sys.stderr) if stream.isatty()]
    for number in handled:
        loop.add_signal_handler(number, stop, int(number))
    try:
        yield caught
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


def _end_at_once(status: int) -> NoReturn:
    """Exit without cleanup, which would close stores while tasks and threads still write to them."""
    with contextlib.suppress(OSError):  # stdout may be closed
        show_cursor = "\x1b[?25h" if sys.stdout.isatty() else ""  # the progress display hides it
        print(end=show_cursor, flush=True)
    with contextlib.suppress(OSError):
        print("stopped at once; the same command resumes the run", file=sys.stderr, flush=True)
    os._exit(status)


def handled_signals() -> list[signal.Signals]:
    """The signals that stop a command; SIGHUP is left out under ``nohup``."""
    is_kept = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *(() if is_kept else (signal.SIGHUP,))]
