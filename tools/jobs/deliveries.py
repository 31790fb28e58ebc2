"""What a job leaves for the parent: each file is opened before the jail closes, after which none can be."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator

_descriptors: dict[str, int] = {}


def prepare(names: Iterable[str]) -> None:
    """Make the files in the current folder and keep them open."""
    for name in names:
        _descriptors[name] = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def prepared(names: Iterable[str]) -> Iterator[None]:
    """The same for a while, in a process that goes on."""
    prepare(names)
    try:
        yield
    finally:
        for descriptor in _descriptors.values():
            os.close(descriptor)
        _descriptors.clear()


def deliver(name: str, content: bytes) -> None:
    """Leave ``content`` as the file ``name``, whatever was written there before.

    Raises:
        OSError: it is longer than the parent takes, or the disk is full.
    """
    descriptor = _descriptors[name]
    os.ftruncate(descriptor, 0)
    view = memoryview(content)
    start = 0
    while start < len(view):
        start += os.pwrite(descriptor, view[start:], start)
