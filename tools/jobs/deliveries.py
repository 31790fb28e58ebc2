"""Files that a job writes for the parent. They are opened before the jail closes, which forbids it afterwards."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator

_descriptors: dict[str, int] = {}


def prepare(names: Iterable[str]) -> None:
    """Create the files in the current folder and keep them open."""
    for name in names:
        _descriptors[name] = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def prepared(names: Iterable[str]) -> Iterator[None]:
    """Like :func:`prepare`, closing the files at the end."""
    prepare(names)
    try:
        yield
    finally:
        for descriptor in _descriptors.values():
            os.close(descriptor)
        _descriptors.clear()


def deliver(name: str, content: bytes) -> None:
    """Write ``content`` as the file ``name``, replacing earlier content.

    Raises:
        OSError: it is longer than allowed, or the disk is full.
    """
    descriptor = _descriptors[name]
    os.ftruncate(descriptor, 0)
    view = memoryview(content)
    start = 0
    while start < len(view):
        start += os.pwrite(descriptor, view[start:], start)
