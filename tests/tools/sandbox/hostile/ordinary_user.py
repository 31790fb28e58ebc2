"""A command line that runs as nobody, for tests that are run by root."""

from __future__ import annotations

import shlex
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

_NOBODY = 65534
_CHECKOUT = Path(__file__).resolve().parents[4]


def as_nobody(command: Sequence[str]) -> list[str]:
    """``command`` in a mount namespace where nobody can reach interpreter and checkout, and as nobody."""
    needed = dict.fromkeys(Path(name).resolve() for name in (sys.base_prefix, sys.prefix, _CHECKOUT))
    become = [
        "setpriv",
        f"--reuid={_NOBODY}",
        f"--regid={_NOBODY}",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ]
    script = "\n".join(["set -e", *_opened(needed), shlex.join(["exec", *become, "--", *command])])
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]


def _opened(needed: Iterable[Path]) -> Iterable[str]:
    """Shell lines that put an empty folder in the place of each closed one, and in it what is needed."""
    closed: dict[Path, list[Path]] = {}
    for path in needed:
        ancestors = [path, *path.parents][::-1]
        first = next((folder for folder in ancestors if not folder.stat().st_mode & stat.S_IXOTH), None)
        if first is not None:
            closed.setdefault(first, []).append(path)
    for number, (folder, paths) in enumerate(closed.items()):
        yield "kept=$(mktemp -d); mount -t tmpfs none $kept; chmod 755 $kept"
        for index, path in enumerate(paths):
            yield f"mkdir $kept/{number}-{index}; mount --bind {shlex.quote(str(path))} $kept/{number}-{index}"
        yield f"mount -t tmpfs -o mode=755 none {shlex.quote(str(folder))}"
        for index, path in enumerate(paths):
            yield f"mkdir -p {shlex.quote(str(path))}; mount --move $kept/{number}-{index} {shlex.quote(str(path))}"
