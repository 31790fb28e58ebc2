"""SIGINT and SIGTERM as something that can be waited for beside the work they are to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def stop_signals() -> Iterator[asyncio.Future[int]]:
    """A future that holds the number of the first SIGINT or SIGTERM; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    caught: asyncio.Future[int] = loop.create_future()

    def stop(number: int) -> None:
        if caught.done():
            sys.exit(128 + number)
        caught.set_result(number)

    handled = (signal.SIGINT, signal.SIGTERM)
    for number in handled:
        loop.add_signal_handler(number, stop, int(number))
    try:
        yield caught
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
