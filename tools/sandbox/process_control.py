"""System calls that the standard library lacks, and facts about this process from ``/proc`` (Linux)."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITY_VERSION = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def die_with_parent(signal_number: int) -> None:
    """Let the kernel send this process a signal when the thread that forked it ends."""
    prctl(_PR_SET_PDEATHSIG, signal_number)


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent dies."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def refuse_inspection() -> None:
    """Hide memory and environment of this process in ``/proc`` from the same user; root can still read them."""
    prctl(_PR_SET_DUMPABLE, 0)


def renounce_privileges() -> None:
    """Drop all capabilities and set *no new privileges*, irrevocably."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if _libc.capset(header, nothing) != 0:
        raise _error("capset")


def child_pids() -> set[int]:
    """The children of this single-threaded process, including adopted and dead ones that are not reaped yet."""
    pid = os.getpid()
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def address_space_bytes() -> int:
    """The address space of this process, as RLIMIT_AS counts it."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def num_threads() -> int:
    """The number of threads, including those of native libraries."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def prctl(option: int, *values: int) -> None:
    """The system call of that name."""
    padded = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    if _libc.prctl(option, *padded) != 0:
        raise _error(f"prctl {option}")


def syscall(number: int, *values: Any) -> int:
    """A system call that libc has no function for.

    Args:
        number: of this machine's architecture.
        values: integers and ctypes pointers.
    """
    arguments = [ctypes.c_long(value) if isinstance(value, int) else value for value in values]
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise _error(f"system call {number}")
    return result


def _error(what: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, f"{what}: {os.strerror(code)}")
