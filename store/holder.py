"""The lock holder of a run folder, found without disturbing it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from store.disk import disk_errors, lock
from store.run_folder import LOCK_NAME


class Holder(NamedTuple):
    """The process that holds a run folder.

    ``pid`` is the number in the lock file, if any; ``is_alive`` whether that process exists. If it does not, the lock
    is held by a child of it, or on another machine.
    """

    pid: int | None
    is_alive: bool


def find_holder(path: Path) -> Holder | None:
    """The process that works on the run in folder ``path``, or ``None``.

    The kernel's lock decides, not the number in the file: the kernel releases it when the holder ends.

    Raises:
        StorageError: the lock cannot be read.
    """
    file = path / LOCK_NAME
    if not file.is_file():
        return None
    with disk_errors(file):
        try:
            # Shared, so that two processes that test the lock do not mistake each other for the holder.
            os.close(lock(file, wait=False, shared=True))
        except BlockingIOError:
            text = file.read_text().strip()
            return Holder(int(text), _is_alive(int(text))) if text.isdecimal() else Holder(None, is_alive=True)
    return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # of another user
    return True
