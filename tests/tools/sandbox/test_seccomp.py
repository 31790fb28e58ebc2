"""What the filter answers, on both architectures, by running its instructions."""

from __future__ import annotations

import errno
import os

import pytest

from tools.sandbox import seccomp

PID = 4711
ALLOW, KILL = 0x7FFF0000, 0x80000000
REFUSE, UNKNOWN = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
NUMBERS = {
    "read": (0, 63),
    "openat": (257, 56),
    "socket": (41, 198),
    "execve": (59, 221),
    "clone": (56, 220),
    "clone3": (435, 435),
    "kill": (62, 129),
    "ioctl": (16, 29),
    "fcntl": (72, 25),
    "prctl": (157, 167),
    "prlimit": (302, 261),
    "unlinkat": (263, 35),
    "ptrace": (101, 117),
    "io_uring_setup": (425, 425),
    "openat2": (437, 437),
    "memfd_create": (319, 279),
}
THREAD = 0x3D0F00
"""The flags glibc makes threads with."""


def answer(machine: str, number: int, *arguments: int, with_gpu: bool = False, audit: int | None = None) -> int:
    """Run the filter as the kernel does: on words of 32 bits, forwards only."""
    words = {0: number, 4: AUDIT[machine] if audit is None else audit}
    words |= {16 + 8 * place: value & 0xFFFFFFFF for place, value in enumerate(arguments)}
    program = seccomp.program(PID, with_gpu=with_gpu, machine=machine)
    accumulator = place = 0
    while True:
        code, if_true, if_false, constant = program[place]
        place += 1
        if code == 0x06:
            return constant
        if code == 0x20:
            accumulator = words.get(constant, 0)
        elif code == 0x54:
            accumulator &= constant
        else:
            holds = accumulator == constant if code == 0x15 else accumulator >= constant
            assert code in (0x15, 0x35)
            assert if_true < 256 and if_false < 256
            place += if_true if holds else if_false


@pytest.fixture(params=["x86_64", "aarch64"])
def ask(request):
    column = list(AUDIT).index(request.param)
    return lambda name, *arguments, **given: answer(request.param, NUMBERS[name][column], *arguments, **given)


@pytest.mark.parametrize(
    "call",
    [
        ("read", 0),
        ("openat", 0, 0, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY),
        ("clone", THREAD),
        ("kill", PID, 9),
        ("ioctl", 1, 0x5401),
        ("fcntl", 1, 1030),
        ("prctl", 15),
        ("prlimit", 0),
    ],
)
def test_what_computing_needs_is_allowed(ask, call):
    assert ask(*call) == ALLOW


@pytest.mark.parametrize(
    "call",
    [
        ("openat", 0, 0, os.O_WRONLY),
        ("openat", 0, 0, os.O_RDWR),
        ("openat", 0, 0, os.O_CREAT),
        ("openat", 0, 0, os.O_TRUNC),
        ("openat", 0, 0, 3),
        ("clone", 17),
        ("clone", THREAD | 0x10000000),
        ("kill", PID + 1, 9),
        ("kill", 2**32 - 1, 9),
        ("kill", 0, 9),
        ("ioctl", 0, 0x5412),
        ("fcntl", 1, 8),
        ("fcntl", 1, 10),
        ("prctl", 4),
        ("prlimit", PID + 1),
        ("socket",),
        ("execve",),
        ("unlinkat",),
        ("ptrace",),
        ("io_uring_setup",),
        ("openat2",),
        ("memfd_create",),
    ],
)
def test_what_reaches_outside_is_refused(ask, call):
    assert ask(*call) == REFUSE


def test_flags_that_lie_in_memory_are_answered_as_by_an_old_kernel(ask):
    assert ask("clone3") == UNKNOWN


def test_another_interface_to_the_kernel_kills(ask):
    assert ask("read", audit=0x40000003) == KILL
    assert answer("x86_64", 0x40000000) == KILL


def test_with_a_gpu_its_device_files_can_be_written_and_controlled_but_none_made(ask):
    assert ask("ioctl", 3, 0xC020462A, with_gpu=True) == ALLOW
    assert ask("openat", 0, 0, os.O_RDWR, with_gpu=True) == ALLOW
    assert ask("openat", 0, 0, os.O_RDWR | os.O_CREAT, with_gpu=True) == REFUSE
    assert ask("socket", with_gpu=True) == REFUSE


def test_a_filter_is_not_offered_where_it_was_not_written_for(monkeypatch):
    assert seccomp.is_supported()
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert not seccomp.is_supported()
