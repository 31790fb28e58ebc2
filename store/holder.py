"""Who works on a run folder, asked from outside and without getting in anybody's way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from store.disk import disk_errors, lock
from store.run_folder import LOCK_NAME


class Holder(NamedTuple):
    """The process that holds a run folder, as far as is known.

    ``pid`` is the number it left, ``None`` where it left none; ``is_alive`` whether a process of that number lives.
    A holder that is not alive has left a child behind, or runs on another machine.
    """

    pid: int | None
    is_alive: bool


def find_holder(path: Path) -> Holder | None:
    """The process that works on the run in folder ``path``; ``None`` while none does.

    The kernel's lock decides, never the number in the file: it is gone as soon as its holder is, however that ended.

    Raises:
        StorageError: the lock cannot be read.
    """
    file = path / LOCK_NAME
    if not file.is_file():
        return None
    with disk_errors(file):
        try:
            # Held for the blink of an eye, and shared, so that those who ask do not take each other for the holder.
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
        return True  # somebody else's
    return True
