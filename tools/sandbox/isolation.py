"""Isolation levels of jobs, determined by trying them on this machine.

=====  ==============================================================================================================
``A``  bubblewrap (own network, process, mount, IPC and host-name namespaces), Landlock, seccomp, resource limits
``B``  the same namespaces by ``unshare``, with the whole file tree mounted; Landlock, seccomp, limits
``C``  Landlock, seccomp, limits: available under a container's default profile
``D``  seccomp and limits: jobs cannot write files, but can read every file that the user can read
``E``  a separate process with limits
=====  ==============================================================================================================
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from fairnad.errors import SettingsError
from fairnad.settings.search_settings import LabSettings
from tools.sandbox import landlock, readable_paths, seccomp

JOBS_FOLDER = "jobs"
_PROBE_SECONDS = 30
_UNSHARE = ("--user", "--map-current-user", "--net", "--ipc", "--uts", "--pid", "--fork", "--kill-child=SIGKILL")


class Level(StrEnum):
    """The isolation of a job; A is the strongest."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"
    E = "E"

    @property
    def has_namespaces(self) -> bool:
        """Whether processes and network have own namespaces; process ids are then unknown outside."""
        return self in (Level.A, Level.B)

    @property
    def has_landlock(self) -> bool:
        """Whether the user's files cannot be read."""
        return self <= Level.C

    @property
    def has_seccomp(self) -> bool:
        """Whether system calls are filtered."""
        return self <= Level.D

    @property
    def is_weak(self) -> bool:
        """Whether jobs can read the user's files: too weak for code written by language models."""
        return self > Level.C

    @property
    def layers(self) -> str:
        """The layers as text."""
        return _LAYERS[self]


_LAYERS: Mapping[Level, str] = {
    Level.A: "bubblewrap, Landlock, seccomp, limits",
    Level.B: "namespaces, Landlock, seccomp, limits",
    Level.C: "Landlock, seccomp, limits",
    Level.D: "seccomp, limits; files can be read",
    Level.E: "limits only; files can be read and written",
}


@dataclass(frozen=True, slots=True)
class SandboxFolders:
    """The part of the file tree the fork server needs: it reads ``scratch`` and writes below ``jobs``."""

    scratch: Path
    jobs: Path
    with_gpu: bool = False

    @classmethod
    def below(cls, scratch: Path, settings: LabSettings) -> Self:
        """For a sandbox in ``scratch``; with the GPU, if there is one and the settings allow it."""
        has_gpu = settings.device != "cpu" and Path("/dev/nvidiactl").exists()
        scratch = scratch.resolve()
        return cls(scratch, scratch / JOBS_FOLDER, has_gpu)


def find_level(settings: LabSettings) -> Level:
    """The level at which a sandbox with these settings would run.

    Raises:
        SettingsError: this machine does not support the requested level.
    """
    with tempfile.TemporaryDirectory(prefix="fairnad-") as name:
        folders = SandboxFolders.below(Path(name), settings)
        folders.jobs.mkdir()
        return choose(settings, folders)


def choose(settings: LabSettings, folders: SandboxFolders) -> Level:
    """The requested level, or the strongest one that this machine supports.

    Raises:
        SettingsError: this machine does not support the requested level; the message states why.
    """
    if settings.isolation != "auto":
        level = Level(settings.isolation)
        if obstacle := find_obstacle(level, folders):
            raise SettingsError(
                f"--lab.isolation {level}: {obstacle}; choose a lower level, or auto for the strongest one"
            )
        return level
    return next(level for level in Level if not find_obstacle(level, folders))


def find_obstacle(level: Level, folders: SandboxFolders) -> str:
    """Why this machine does not support a level; empty if it does."""
    if level.has_seccomp and not seccomp.is_supported():
        return "expected a kernel with seccomp filters on x86-64 or 64-bit ARM, found none"
    if level.has_landlock and not landlock.abi():
        return "expected a kernel with Landlock (5.13 or newer, switched on), found none"
    if level is Level.D and folders.with_gpu:
        return "expected Landlock to open a GPU's device files alone, found none"
    return _try_namespaces(level, folders) if level.has_namespaces else ""


def wrapper(level: Level, folders: SandboxFolders) -> list[str]:
    """The beginning of a command line that runs a program in the namespaces of a level."""
    if level is Level.A:
        return ["bwrap", *_bubblewrap_options(folders), "--"]
    return ["unshare", *_UNSHARE, "--mount-proc", "--"] if level is Level.B else []


def _try_namespaces(level: Level, folders: SandboxFolders) -> str:
    command = [*wrapper(level, folders), sys.executable, "-I", "-S", "-c", ""]
    if shutil.which(command[0]) is None:
        return f"expected the program {command[0]}, found none (Debian's package {_PACKAGES[level]} has it)"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"expected {command[0]} to create namespaces, found no answer"
    reason = done.stderr.strip().split("\n")[-1]
    return "" if done.returncode == 0 else f"expected {command[0]} to create namespaces, found: {reason}"


_PACKAGES = {Level.A: "bubblewrap", Level.B: "util-linux"}


def _bubblewrap_options(folders: SandboxFolders) -> list[str]:
    """A few read-only folders on an empty root; nothing of home, ``/etc`` or ``/run``."""
    options = ["--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    options += ["--proc", "/proc", "--dev", "/dev", "--size", str(2**26), "--tmpfs", "/tmp"]
    for folder in readable_paths.SYSTEM_FOLDERS:
        if folder.is_symlink():
            options += ["--symlink", str(folder.readlink()), str(folder)]
        elif folder.is_dir():
            options += ["--ro-bind", str(folder), str(folder)]
    shown = [
        *readable_paths.interpreter_folders(),
        *readable_paths.OWN_PACKAGES,
        Path("/etc/ld.so.cache"),
        Path("/nix/store"),
    ]
    shown += [Path("/sys")] if folders.with_gpu else [Path(f"/sys/devices/system/{name}") for name in ("cpu", "node")]
    for path in [path for path in shown if not any(map(path.is_relative_to, readable_paths.SYSTEM_FOLDERS))]:
        options += ["--ro-bind-try", str(path), str(path)]
    for device in readable_paths.gpu_devices() if folders.with_gpu else []:
        options += ["--dev-bind", str(device), str(device)]
    return [*options, "--ro-bind", *[str(folders.scratch)] * 2, "--bind", *[str(folders.jobs)] * 2, "--chdir", "/"]
