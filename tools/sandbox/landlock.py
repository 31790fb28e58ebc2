"""Landlock: permanently restricts which files this process can read (Linux 5.13 and newer).

Writing, executing and connecting by name are never allowed; a job writes its deliveries to descriptors that were opened
before. See the kernel's documentation, ``userspace-api/landlock``.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from tools.sandbox import process_control

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1

_WRITE_FILE, _READ_FILE, _READ_DIR, _IOCTL_DEV = 1 << 1, 1 << 2, 1 << 3, 1 << 15
_ALL_FILE_RIGHTS = {1: 1 << 13, 2: 1 << 14, 3: 1 << 15, 5: 1 << 16}
"""One above the highest file right, by the first interface version that has it."""
_TCP_RIGHTS = 0b11
_SCOPES = 0b11
"""Abstract Unix sockets and signals cannot reach processes outside."""
_TCP_SINCE, _SCOPES_SINCE = 4, 6


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def abi() -> int:
    """The interface version of this kernel, 0 without Landlock."""
    try:
        return process_control.syscall(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


def restrict(readable: Iterable[Path], devices: Iterable[Path] = ()) -> None:
    """Restrict this process and its children to reading ``readable`` and everything below.

    Applies to the calling thread, so it must be the only one. Missing paths are skipped.

    Args:
        readable: files and folders.
        devices: device files that can also be written and controlled by ``ioctl``.
    """
    version = abi()
    handled = max(rights for since, rights in _ALL_FILE_RIGHTS.items() if since <= max(version, 1)) - 1
    ruleset = _Ruleset(handled, _TCP_RIGHTS if version >= _TCP_SINCE else 0, _SCOPES if version >= _SCOPES_SINCE else 0)
    # An older kernel refuses a structure that is larger than it expects.
    size = 24 if version >= _SCOPES_SINCE else 16 if version >= _TCP_SINCE else 8
    descriptor = process_control.syscall(_CREATE_RULESET, ctypes.byref(ruleset), size, 0)
    try:
        for path in readable:
            _allow(descriptor, path, _READ_FILE | _READ_DIR)
        for path in devices:
            _allow(descriptor, path, (_READ_FILE | _WRITE_FILE | _IOCTL_DEV) & handled)
        process_control.syscall(_RESTRICT_SELF, descriptor, 0)
    finally:
        os.close(descriptor)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= ~_READ_DIR
        rule = _PathBeneath(rights, descriptor)
        process_control.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)
