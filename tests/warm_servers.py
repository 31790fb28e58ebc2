"""Fork servers that stay warm between the sandboxes of a test process: starting one costs seconds, a job little.

A server is used again by a sandbox of the same level and environment, one sandbox at a time. Those that live in
namespaces of their own (levels A and B) see the folders of one sandbox only; they start and end with it.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from tools.sandbox import supervisor
from tools.sandbox.isolation import Level

_ForkServer = supervisor._ForkServer
Kind = tuple[Level, tuple[tuple[str, str], ...]]


@dataclass(eq=False)
class Life:
    """A running server, and the channel to it that stays open between sandboxes."""

    kind: Kind
    process: subprocess.Popen[bytes]
    channel: socket.socket

    def end(self) -> None:
        self.channel.close()
        self.process.wait()


IDLE: list[Life] = []


def _launch(level: Level, environment: dict[str, str]) -> Life:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-P", "-m", "tools.sandbox", "--channel", str(theirs.fileno()), "--level", level]
    nowhere = subprocess.DEVNULL
    with theirs:
        process = subprocess.Popen(
            command,
            stdin=nowhere,
            stdout=nowhere,
            stderr=nowhere,
            env=environment,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    with ours.makefile("rb", buffering=0) as file:
        assert b"ready" in file.readline(), "the fork server did not start"
    ours.setblocking(False)
    return Life((level, tuple(sorted(environment.items()))), process, ours)


class _WarmServer(_ForkServer):
    """One use of a server by one sandbox, in the event loop of that sandbox."""

    _life: Life

    @classmethod
    async def start(cls, log: Path, level: Level, wrapping: list[str]) -> _ForkServer:
        if wrapping:
            return await _ForkServer.start(log, level, wrapping)
        return await cls._lend(level)

    @classmethod
    async def _lend(cls, level: Level) -> Self:
        environment = supervisor._clean_environment()
        kind = (level, tuple(sorted(environment.items())))
        life = next((one for one in IDLE if one.kind == kind and one.process.poll() is None), None)
        if life is None:
            life = _launch(level, environment)  # in this thread, as a server dies with the thread that started it
        else:
            IDLE.remove(life)
        reader, writer = await asyncio.open_unix_connection(sock=life.channel.dup(), limit=supervisor._LINE_BYTES)
        server = cls(life.process, level, reader, writer)  # type: ignore[arg-type]
        server._life = life
        server._listener = asyncio.create_task(server._listen())
        return server

    async def close(self) -> None:
        """End the jobs and give the server back, unless it died."""
        assert self._listener is not None
        ends = list(self._ends.values())
        self.stop_all()
        if ends:
            await asyncio.wait(ends)
        was_lost = self.lost
        self._listener.cancel()
        await asyncio.wait([self._listener])
        if was_lost:
            await asyncio.to_thread(self._life.end)
        else:
            IDLE.append(self._life)


@contextmanager
def warm_servers() -> Iterator[None]:
    """Sandboxes of this process take servers that are warm, from now to the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor, "_ForkServer", _WarmServer)
        yield
    while IDLE:
        IDLE.pop().end()
