"""Watches a file: the kernel counts how often any process opens it."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Self

import pytest

_OPENED = 0x20
_EVENT_BYTES = 16


class Watch:
    """Counts from its beginning on; the test is skipped where files cannot be watched."""

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0 or libc.inotify_add_watch(self._descriptor, os.fsencode(path), _OPENED) < 0:
            pytest.skip("files cannot be watched here")

    def num_opened(self) -> int:
        """How often the file was opened since the last question."""
        try:
            return len(os.read(self._descriptor, 2**16)) // _EVENT_BYTES
        except BlockingIOError:
            return 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
