"""Tests the jail at the start of the fork server, so that no ineffective level is reported."""

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


def test_jail(level: Level) -> None:
    """Fork a process that applies the level to itself and then tries to break out.

    Raises:
        RuntimeError: it succeeded, or a layer could not be applied.
    """
    with tempfile.TemporaryDirectory() as folder:
        pid = os.fork()
        if pid == 0:
            _attempt_escape(level, Path(folder))
        _, status = os.waitpid(pid, 0)
    if status:
        what = "failed the escape test" if os.waitstatus_to_exitcode(status) == _LEAKS else "could not be applied"
        raise RuntimeError(f"isolation {level} is available on this machine, but its jail {what}")


def _attempt_escape(level: Level, folder: Path) -> NoReturn:
    status = 1
    try:
        jail.close(level, jail.Allowance(folder, (), 10, None, 2**30, 2**20, with_gpu=False))
        status = _LEAKS if _leaks(level, folder) else _HOLDS
    except OSError:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _leaks(level: Level, folder: Path) -> list[str]:
    """The forbidden actions that succeeded."""
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
