"""Things around a sandbox that no job may touch, reachable for everybody but for the jail, and whether one did."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECRET_VARIABLE = "LAB_TEST_CANARY"
SECRET = "open sesame"


class Canaries:
    """A folder with a secret file, listening sockets, a process to signal, and a secret in the environment."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o777)
        self._folder = folder / "canaries"
        self._folder.mkdir()
        self._file = self._folder / "secret.txt"
        self._file.write_text(SECRET)
        self._file.chmod(0o666)
        self._folder.chmod(0o777)
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self._unix, self._abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        self._unix.bind(str(folder / "listener"))
        (folder / "listener").chmod(0o777)
        self._abstract_name = "\0" + secrets.token_hex(8)
        self._abstract.bind(self._abstract_name)
        for listener in (self._tcp, self._unix, self._abstract):
            listener.listen()
            listener.setblocking(False)
        self._udp.setblocking(False)
        self._bystander = subprocess.Popen(["sleep", "infinity"])
        self._words = {
            "SECRET_FILE": str(self._file),
            "CANARY_FOLDER": str(self._folder),
            "HOME_FOLDER": str(folder),
            "SOCKET_FILE": str(folder / "listener"),
            "ABSTRACT_NAME": self._abstract_name,
            "TCP_PORT": self._tcp.getsockname()[1],
            "UDP_PORT": self._udp.getsockname()[1],
            "BYSTANDER_PID": self._bystander.pid,
            "PARENT_PID": os.getpid(),
        }
        self._before = self._state()

    def fill(self, source: str) -> str:
        """``source`` with the words that name a canary put in; within quotes as they are, elsewhere as Python."""
        for word, value in self._words.items():
            quoted = value if isinstance(value, str) else str(value)
            for text in (f"/{word}/", f":{word}/"):
                source = source.replace(text, text.replace(word, quoted))
            source = source.replace(word, repr(value))
        return source

    def touched(self) -> list[str]:
        """What of it all was touched."""
        found = [] if self._state() == self._before else ["files"]
        for name in ("tcp", "unix", "abstract"):
            try:
                getattr(self, f"_{name}").accept()
                found.append(name)
            except BlockingIOError:
                pass
        try:
            self._udp.recv(1)
            found.append("udp")
        except BlockingIOError:
            pass
        return found + ([] if self._bystander.poll() is None else ["process"])

    def _state(self) -> list[object]:
        paths = [self._folder, *sorted(self._folder.iterdir())]
        states = [(str(path), path.stat().st_mode, path.stat().st_mtime_ns, path.stat().st_nlink) for path in paths]
        return [*states, self._file.read_text(), sorted(os.listxattr(self._file))]

    def close(self) -> None:
        """Give everything back."""
        for each in (self._tcp, self._udp, self._unix, self._abstract):
            each.close()
        self._bystander.send_signal(signal.SIGKILL)
        self._bystander.wait()


@contextmanager
def canaries() -> Iterator[Canaries]:
    """Set up outside of pytest's own folders, which other users may not enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ[SECRET_VARIABLE] = SECRET
        found = Canaries(Path(folder))
        try:
            yield found
        finally:
            found.close()
            del os.environ[SECRET_VARIABLE]
