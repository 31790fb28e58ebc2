"""SIGINT, SIGTERM and SIGHUP as something that can be waited for beside the work they are to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from tools.output import point_at_nothing


@contextlib.contextmanager
def stop_signals() -> Iterator[asyncio.Future[int]]:
    """A future that holds the number of the first signal to stop; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    caught: asyncio.Future[int] = loop.create_future()

    def stop(number: int) -> None:
        if caught.done():
            sys.exit(128 + number)
        for descriptor in terminals:
            if not os.isatty(descriptor):  # the terminal is gone, and every write would fail
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


def handled_signals() -> list[signal.Signals]:
    """The signals that stop a command in good order: SIGHUP too, unless ``nohup`` has switched it off."""
    is_kept = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *(() if is_kept else (signal.SIGHUP,))]
