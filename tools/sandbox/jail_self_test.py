"""The fork server's trial of its own jail: a level that cannot be put up, or does not hold, must not be reported."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

from tools.sandbox import jail
from tools.sandbox.isolation import Level

_HOLDS, _LEAKS = 0, 3


def try_jail(level: Level) -> None:
    """Fork a process that shuts itself in and then tries to get out.

    Raises:
        RuntimeError: it could, or a layer could not be put up.
    """
    with tempfile.TemporaryDirectory() as folder:
        pid = os.fork()
        if pid == 0:
            _try_from_inside(level, Path(folder))
        _, status = os.waitpid(pid, 0)
    if status:
        what = "let a job out" if os.waitstatus_to_exitcode(status) == _LEAKS else "could not be put up"
        raise RuntimeError(f"isolation {level} was found on this machine, but its jail {what}")


def _try_from_inside(level: Level, folder: Path) -> NoReturn:
    status = 1
    try:
        jail.close(level, jail.Allowance(folder, (), 10, None, 2**30, 2**20, with_gpu=False))
        status = _LEAKS if list(_leaks(level, folder)) else _HOLDS
    except OSError:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _leaks(level: Level, folder: Path) -> list[str]:
    """What a job could do and must not."""
    found = []
    with contextlib.suppress(OSError):
        (folder / "new").touch()
        found.append("write")
    with contextlib.suppress(OSError):
        socket.socket().close()
        found.append("connect")
    with contextlib.suppress(OSError):
        if os.fork() == 0:
            os._exit(0)
        found.append("fork")
    with contextlib.suppress(OSError):
        if level.has_landlock:
            os.listdir("/")  # noqa: PTH208 (the name of the root alone)
            found.append("read")
    return found
