"""The system calls a job may make, as a seccomp filter (x86-64 and 64-bit ARM).

An allow-list of what computing, threads and reading files need. Every other call fails with *operation not permitted*,
which becomes a Python exception that the debugger can read. Files open for reading only, whatever other layers allow.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tools.sandbox import process_control


class _Architecture(NamedTuple):
    audit: int
    column: int


_ARCHITECTURES = {"x86_64": _Architecture(0xC000003E, 0), "aarch64": _Architecture(0xC00000B7, 1)}
_X32_CALLS = 0x40000000
"""Numbers from here on are another x86-64 interface to the same calls."""

_ABSENT = -1


def _table(text: str) -> Mapping[str, tuple[int, int]]:
    """Numbers by name: on x86-64, then on 64-bit ARM, which lacks some (``-``)."""
    rows = (row.split() for row in text.split(","))
    return {name: (int(x86), _ABSENT if arm == "-" else int(arm)) for name, x86, arm in rows}


_FREE = _table(
    """
    read 0 63, write 1 64, close 3 57, stat 4 -, fstat 5 80, lstat 6 -, poll 7 -, lseek 8 62, mmap 9 222,
    mprotect 10 226, munmap 11 215, brk 12 214, rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139,
    pread64 17 67, pwrite64 18 68, readv 19 65, writev 20 66, access 21 -, pipe 22 -, select 23 -,
    sched_yield 24 124, mremap 25 216, mincore 27 232, madvise 28 233, dup 32 23, dup2 33 -, pause 34 -,
    nanosleep 35 101, getpid 39 172, exit 60 93, uname 63 160, fsync 74 82, ftruncate 77 46, getcwd 79 17,
    readlink 89 -, gettimeofday 96 169, getrlimit 97 163, getrusage 98 165, sysinfo 99 179, times 100 153,
    getuid 102 174, getgid 104 176, geteuid 107 175, getegid 108 177, getppid 110 173, rt_sigsuspend 130 133,
    sigaltstack 131 132, statfs 137 43, fstatfs 138 44, gettid 186 178, futex 202 98, sched_getaffinity 204 123,
    getdents64 217 61, set_tid_address 218 96, restart_syscall 219 128, fadvise64 221 223, clock_gettime 228 113,
    clock_getres 229 114, clock_nanosleep 230 115, exit_group 231 94, newfstatat 262 79, readlinkat 267 78,
    faccessat 269 48, pselect6 270 72, ppoll 271 73, set_robust_list 273 99, dup3 292 24, pipe2 293 59,
    getcpu 309 168, getrandom 318 278, membarrier 324 283, statx 332 291, rseq 334 293, faccessat2 439 439
    """
)
_OPEN, _OPENAT = (2, _ABSENT), (257, 56)
_IOCTL, _FCNTL, _PRCTL = (16, 29), (72, 25), (157, 167)
_CLONE, _CLONE3 = (56, 220), (435, 435)
_KILL, _TGKILL = (62, 129), (234, 131)
_PRLIMIT = (302, 261)
_GPU_FREE: Mapping[str, tuple[int, int]] = {
    "ioctl": _IOCTL,
    "mlock": (149, 228),
    "mbind": (237, 235),
    "get_mempolicy": (239, 236),
    "epoll_wait": (232, _ABSENT),
    "epoll_ctl": (233, 21),
    "epoll_pwait": (281, 22),
    "epoll_create1": (291, 20),
    "eventfd2": (290, 19),
}
"""Further calls of the CUDA driver, from its documentation and traces; not tested on a GPU."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CREATING = os.O_CREAT | os.O_TRUNC
_TERMINAL_AND_DESCRIPTOR_CONTROLS = (0x5401, 0x5450, 0x5451, 0x5421, 0x541B)
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030)
"""Duplicates and flags: no locks, and no signals to the owner of a descriptor."""
_PRCTL_OPTIONS = (15, 16, 0x53564D41)
"""Names of threads and of memory areas."""
_CLONE_THREAD, _CLONE_NEW_NAMESPACES = 0x10000, 0x7E020000

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16
_KILL_PROCESS, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def is_supported() -> bool:
    """Whether the filter covers this architecture and the kernel supports filters."""
    try:
        with open("/proc/sys/kernel/seccomp/actions_avail") as file:  # noqa: PTH123 (read before anything is imported)
            has_filters = "errno" in file.read()
    except OSError:
        has_filters = False
    return has_filters and platform.machine() in _ARCHITECTURES


def install(*, with_gpu: bool) -> None:
    """Filter this process's system calls from now on; the process must have set *no new privileges*.

    Args:
        with_gpu: allow opening existing device files for writing, and ``ioctl``; Landlock restricts which files.
    """
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program(os.getpid(), with_gpu=with_gpu))
    filter_program = _Program(len(code) // 8, code)
    process_control.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(filter_program))


def program(pid: int, *, with_gpu: bool, machine: str | None = None) -> list[Instruction]:
    """The filter for the process ``pid``, which may send signals to itself.

    Args:
        pid: in the namespace of the process.
        with_gpu: see :func:`install`.
        machine: an architecture in the notation of ``platform.machine()``, by default this machine's.
    """
    architecture = _ARCHITECTURES[machine or platform.machine()]
    free = dict(_FREE) | (dict(_GPU_FREE) if with_gpu else {})
    writing = _CREATING if with_gpu else _WRITING
    conditions: list[tuple[tuple[int, int], list[Instruction]]] = [
        (_OPENAT, _compare_masked(2, writing, 0)),
        (_OPEN, _compare_masked(1, writing, 0)),
        (_FCNTL, _one_of(1, _FCNTL_COMMANDS)),
        (_PRCTL, _one_of(0, _PRCTL_OPTIONS)),
        (_PRLIMIT, _one_of(0, (0,))),
        (_KILL, _one_of(0, (pid,))),
        (_TGKILL, _one_of(0, (pid,))),
        (_CLONE, _compare_masked(0, _CLONE_THREAD | _CLONE_NEW_NAMESPACES, _CLONE_THREAD)),
        # Its flags are in memory, which a filter cannot read: libc falls back to the older call.
        (_CLONE3, [_answer(errno.ENOSYS)]),
    ]
    if not with_gpu:
        conditions.append((_IOCTL, _one_of(1, _TERMINAL_AND_DESCRIPTOR_CONTROLS)))
    calls = [*((numbers, [(_RETURN, 0, 0, _ALLOW)]) for numbers in free.values()), *conditions]
    return [
        (_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
        (_EQUAL, 1, 0, architecture.audit),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_OFFSET),
        (_AT_LEAST, 0, 1, _X32_CALLS),
        (_RETURN, 0, 0, _KILL_PROCESS),
        *_dispatch((numbers[architecture.column], block) for numbers, block in calls),
        _answer(errno.EPERM),
    ]


def _dispatch(calls: Iterable[tuple[int, Sequence[Instruction]]]) -> Iterator[Instruction]:
    """Compare the call number with each number in turn and jump into its block; every block returns."""
    for number, block in calls:
        if number != _ABSENT:
            yield (_EQUAL, 0, len(block), number)
            yield from block


def _compare_masked(argument: int, mask: int, value: int) -> list[Instruction]:
    """Allow the call if the argument's bits under ``mask`` are ``value``; these arguments have 32 bits."""
    return [
        (_LOAD, 0, 0, _ARGUMENTS_OFFSET + 8 * argument),
        (_AND, 0, 0, mask),
        (_EQUAL, 0, 1, value),
        (_RETURN, 0, 0, _ALLOW),
        _answer(errno.EPERM),
    ]


def _one_of(argument: int, values: Sequence[int]) -> list[Instruction]:
    """Allow the call if the argument is one of ``values``."""
    block: list[Instruction] = [(_LOAD, 0, 0, _ARGUMENTS_OFFSET + 8 * argument)]
    for value in values:
        block += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    return [*block, _answer(errno.EPERM)]


def _answer(code: int) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | code)
