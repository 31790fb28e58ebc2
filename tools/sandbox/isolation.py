"""How well jobs are shut in on this machine: five levels, tried out rather than believed.

=====  ==============================================================================================================
``A``  bubblewrap (own network, process, mount, IPC and host-name namespaces), Landlock, seccomp, resource limits
``B``  the same namespaces by ``unshare``, which leaves the whole file tree in sight; Landlock, seccomp, limits
``C``  Landlock, seccomp, limits: what a container's default profile leaves
``D``  seccomp and limits: nothing can be written, but every file the user may read can be read
``E``  limits, and a process of its own
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
from tools.sandbox import landlock, seccomp
from tools.sandbox import readable_paths as places

JOBS_FOLDER = "jobs"
_PROBE_SECONDS = 30
_UNSHARE = ("--user", "--map-current-user", "--net", "--ipc", "--uts", "--pid", "--fork", "--kill-child=SIGKILL")


class Level(StrEnum):
    """How a job is shut in; A is best."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"
    E = "E"

    @property
    def has_namespaces(self) -> bool:
        """Whether processes and network are the sandbox's own; process ids mean nothing outside then."""
        return self in (Level.A, Level.B)

    @property
    def has_landlock(self) -> bool:
        """Whether files of the user's are out of reach."""
        return self <= Level.C

    @property
    def has_seccomp(self) -> bool:
        """Whether system calls are filtered."""
        return self <= Level.D

    @property
    def is_weak(self) -> bool:
        """Whether a job can read what the user can: too little for code a language model writes."""
        return self > Level.C

    @property
    def layers(self) -> str:
        """What holds a job, for people."""
        return _LAYERS[self]


_LAYERS: Mapping[Level, str] = {
    Level.A: "bubblewrap, Landlock, seccomp, limits",
    Level.B: "namespaces, Landlock, seccomp, limits",
    Level.C: "Landlock, seccomp, limits",
    Level.D: "seccomp, limits; files can be read",
    Level.E: "limits only; files can be read and written",
}


@dataclass(frozen=True, slots=True)
class Ground:
    """What the fork server must see of the file tree: it reads ``scratch`` and writes in ``jobs``."""

    scratch: Path
    jobs: Path
    with_gpu: bool = False

    @classmethod
    def below(cls, scratch: Path, settings: LabSettings) -> Self:
        """That of a sandbox in ``scratch``, where candidates may be trained on a GPU if there is one."""
        has_gpu = settings.device != "cpu" and Path("/dev/nvidiactl").exists()
        scratch = scratch.resolve()
        return cls(scratch, scratch / JOBS_FOLDER, has_gpu)


def find_level(settings: LabSettings) -> Level:
    """The level a sandbox with these settings would run at; nothing is left behind.

    Raises:
        SettingsError: the level asked for is not to be had here.
    """
    with tempfile.TemporaryDirectory(prefix="fairnad-") as name:
        ground = Ground.below(Path(name), settings)
        ground.jobs.mkdir()
        return choose(settings, ground)


def choose(settings: LabSettings, ground: Ground) -> Level:
    """The level jobs will run at: the one that is asked for, or the best this machine offers.

    Raises:
        SettingsError: the level asked for is not to be had here; says why.
    """
    if settings.isolation != "auto":
        level = Level(settings.isolation)
        if obstacle := find_obstacle(level, ground):
            raise SettingsError(
                f"--lab.isolation {level}: {obstacle}; choose a lower level, or auto for the best there is"
            )
        return level
    return next(level for level in Level if not find_obstacle(level, ground))


def find_obstacle(level: Level, ground: Ground) -> str:
    """Why a level is not to be had on this machine, empty where it is."""
    if level.has_seccomp and not seccomp.is_supported():
        return "expected a kernel with seccomp filters on x86-64 or 64-bit ARM, found none"
    if level.has_landlock and not landlock.abi():
        return "expected a kernel with Landlock (5.13 or newer, switched on), found none"
    if level is Level.D and ground.with_gpu:
        return "expected Landlock to open a GPU's device files alone, found none"
    return _try_namespaces(level, ground) if level.has_namespaces else ""


def wrapper(level: Level, ground: Ground) -> list[str]:
    """The beginning of a command line that shuts in the program it goes on with."""
    if level is Level.A:
        return ["bwrap", *_bubblewrap_options(ground), "--"]
    return ["unshare", *_UNSHARE, "--mount-proc", "--"] if level is Level.B else []


def _try_namespaces(level: Level, ground: Ground) -> str:
    command = [*wrapper(level, ground), sys.executable, "-I", "-S", "-c", ""]
    if shutil.which(command[0]) is None:
        return f"expected the program {command[0]}, found none (Debian's package {_PACKAGES[level]} has it)"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"expected {command[0]} to make namespaces, found that it did not answer"
    said = done.stderr.strip().split("\n")[-1]
    return "" if done.returncode == 0 else f"expected {command[0]} to make namespaces, found: {said}"


_PACKAGES = {Level.A: "bubblewrap", Level.B: "util-linux"}


def _bubblewrap_options(ground: Ground) -> list[str]:
    """Few folders, read-only, on an empty root; nothing of home, ``/etc`` or ``/run`` among them."""
    options = ["--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    options += ["--proc", "/proc", "--dev", "/dev", "--size", str(2**26), "--tmpfs", "/tmp"]
    for folder in places.SYSTEM_FOLDERS:
        if folder.is_symlink():
            options += ["--symlink", str(folder.readlink()), str(folder)]
        elif folder.is_dir():
            options += ["--ro-bind", str(folder), str(folder)]
    shown = [*places.interpreter_folders(), *places.OWN_PACKAGES, Path("/etc/ld.so.cache"), Path("/nix/store")]
    shown += [Path("/sys")] if ground.with_gpu else [Path(f"/sys/devices/system/{name}") for name in ("cpu", "node")]
    for path in [path for path in shown if not _is_below(path, places.SYSTEM_FOLDERS)]:
        options += ["--ro-bind-try", str(path), str(path)]
    for device in places.gpu_devices() if ground.with_gpu else []:
        options += ["--dev-bind", str(device), str(device)]
    return [*options, "--ro-bind", *[str(ground.scratch)] * 2, "--bind", *[str(ground.jobs)] * 2, "--chdir", "/"]


def _is_below(path: Path, folders: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
