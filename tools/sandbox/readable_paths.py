"""Files that jobs need to read: interpreter, libraries, facts about the processor."""

from __future__ import annotations

import functools
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
OWN_PACKAGES = (CHECKOUT / "fairnad", CHECKOUT / "tools")
SYSTEM_FOLDERS = tuple(Path(name) for name in ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin"))
_SYSTEM_LIBRARIES = ("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/nix/store")
_MACHINE_FACTS = ("/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu", "/sys/devices/system/node")
_SMALL_FILES = ("/etc/ld.so.cache", "/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_GPU_FACTS = ("/proc/driver/nvidia", "/proc/self", "/sys/bus/pci", "/sys/devices", "/sys/module/nvidia", "/dev/shm")


def interpreter_folders() -> list[Path]:
    """The folders of Python and its packages, of the virtual environment and the installation behind it."""
    named = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    return sorted({Path(name).resolve() for name in named} | {Path(name) for name in named} | set(_packages()))


@functools.cache
def readable(*, with_gpu: bool) -> tuple[Path, ...]:
    """Everything a job can read beside its own folder: libraries, this project's packages, facts about the machine."""
    prefixes = [folder / lib for folder in interpreter_folders() for lib in ("lib", "lib64", "pyvenv.cfg")]
    named = [*_SYSTEM_LIBRARIES, *_MACHINE_FACTS, *_SMALL_FILES, *(_GPU_FACTS if with_gpu else ())]
    found = dict.fromkeys([*prefixes, *_packages(), *OWN_PACKAGES, *map(Path, named)])
    return tuple(path for path in found if path.exists())


def gpu_devices() -> list[Path]:
    """The device files of NVIDIA's driver on this machine."""
    return sorted(path for path in Path("/dev").glob("nvidia*") if not path.is_dir())


def _packages() -> Iterator[Path]:
    """The folders of imported packages; Debian and user installations have some outside the prefixes."""
    names = [*site.getsitepackages(), sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")]
    torch = importlib.util.find_spec("torch")
    if torch is not None and torch.origin is not None:
        names.append(str(Path(torch.origin).parents[1]))
    if site.ENABLE_USER_SITE:
        names.append(site.getusersitepackages())
    return (Path(name) for name in names if Path(name).is_dir())
