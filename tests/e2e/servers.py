"""LangGraph servers as their users start them, in a folder of their own: nothing is written into the checkout."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]


@dataclass
class Server:
    """A running server; it works in ``folder``, where ``log`` lies."""

    process: subprocess.Popen[str]
    url: str
    folder: Path

    @property
    def runs(self) -> Path:
        """Where runs lie unless a setting says otherwise."""
        return self.folder / "runs"

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self.folder / "log").read_text()


@contextmanager
def studio(folder: Path, *flags: str, **environment: str) -> Iterator[Server]:
    """``python -m graphs.studio``."""
    with _started(["graphs.studio", *flags], folder, environment) as server:
        assert server.process.stdout is not None
        said = next((line for line in server.process.stdout if line.startswith("serving")), None)
        assert said is not None, server.log
        yield server


@contextmanager
def langgraph_dev(folder: Path) -> Iterator[Server]:
    """``langgraph dev --no-browser``, which reloads whenever a ``.py`` below its folder changes."""
    shutil.copy(ROOT / "langgraph.json", folder)
    with _started(["langgraph_cli", "dev", "--no-browser"], folder, {"LANGSMITH_TRACING": "false"}) as server:
        deadline = time.monotonic() + 120
        while not _answers(server):
            assert server.process.poll() is None and time.monotonic() < deadline, server.log
        yield server


def _answers(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/ok").is_success
    except httpx.TransportError:
        return False


@contextmanager
def _started(module: list[str], folder: Path, environment: dict[str, str]) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "CI": "1", **environment}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *module, "--port", str(port)],
            cwd=folder,
            env=surroundings,
            text=True,
            stdout=subprocess.PIPE if module[0] == "graphs.studio" else log,
            stderr=log,
        )
        try:
            yield Server(process, f"http://127.0.0.1:{port}", folder)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
