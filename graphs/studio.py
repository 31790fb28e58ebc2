"""``python -m graphs.studio``: a local LangGraph server over the runs, for LangGraph Studio and other clients.

It needs no key, account or internet. Every run in the runs folder is there as a thread, with an assistant of its name
that holds its settings. The server has no password: whoever can reach its port can run code, so it listens on this
machine alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fairnad.errors import SettingsError, UserError
from graphs.cli.arguments import Parser
from graphs.cli.exit_status import report_errors
from graphs.cli.stop_signals import handled_signals
from graphs.runtime.checkpointer import RUNS_VARIABLE, newest_thread, thread_id
from graphs.runtime.stored_runs import run_folders
from store.run_folder import CHECKPOINTS_NAME, read_context

if TYPE_CHECKING:
    from langgraph_sdk.client import LangGraphClient

HOST = "127.0.0.1"
CONFIGURATION = Path(__file__).parent.parent / "langgraph.json"
ANALYTICS = {"LANGGRAPH_CLI_NO_ANALYTICS": "1"}
_NO_TRACING = {"LANGSMITH_TRACING": "false"}
_TRACING = re.compile(r"(LANGSMITH|LANGCHAIN)_(TRACING|OTEL)|OTEL_")
"""How the variables begin by which a user says whether and where runs are traced; a key alone says neither."""
_NUM_JOBS = "4"
_MAX_PORT = 2**16 - 1


def server_environment(given: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server: no usage statistics, and no tracing unless a user has set it up."""
    traced = any(_TRACING.match(name) for name in given)
    return {**ANALYTICS, **({} if traced else _NO_TRACING), **given}


async def _serve(port: int, runs: Path) -> int:
    """Start the server, tell it of the runs, and wait for its end; its exit status."""
    command = [sys.executable, "-m", "langgraph_cli", "dev", "--config", str(CONFIGURATION), "--host", HOST]
    command += ["--port", str(port), "--no-browser", "--no-reload", "--n-jobs-per-worker", _NUM_JOBS]
    paths = [str(CONFIGURATION.parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        **server_environment(os.environ),
        RUNS_VARIABLE: str(runs),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    # A group of its own: Ctrl-C reaches this process alone, which ends the server once and waits.
    server = await asyncio.create_subprocess_exec(*command, env=environment, process_group=0, stdout=sys.stderr)
    loop = asyncio.get_running_loop()
    for number in handled_signals():
        loop.add_signal_handler(number, _end, server)
    try:
        ended = asyncio.ensure_future(server.wait())
        url = f"http://{HOST}:{port}"
        if await _is_up(port, ended):
            names = await register_runs(url, runs)
            print(f"serving {url}, runs: {', '.join(names) or 'none yet'}", flush=True)
            print(f"Studio: https://smith.langchain.com/studio/?baseUrl={url}", flush=True)
        status = await ended
        return 0 if status in (-signal.SIGINT, -signal.SIGTERM) else status
    finally:
        _end(server)
        await server.wait()


def _end(server: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        server.send_signal(signal.SIGINT)


async def _is_up(port: int, ended: asyncio.Future[int]) -> bool:
    """Wait until the server takes connections; ``False`` where it ended before."""
    while not ended.done():
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except ConnectionRefusedError:
            await asyncio.wait({ended}, timeout=0.1)
        else:
            writer.close()
            return True
    return False


async def register_runs(url: str, runs: Path) -> list[str]:
    """Make a thread and an assistant for every run that has begun; the names of those runs.

    A run that cannot be read is left out and named on stderr.
    """
    from langgraph_sdk import get_client

    names = []
    async with get_client(url=url, api_key=None) as client:
        for folder in run_folders(runs):
            try:
                if await _register(client, folder):
                    names.append(folder.name)
            except UserError as error:
                print(f"left out: {error}", file=sys.stderr)
    return names


async def _register(client: LangGraphClient, folder: Path) -> bool:
    thread = await asyncio.to_thread(newest_thread, folder / CHECKPOINTS_NAME)
    if not thread:
        return False
    context = await asyncio.to_thread(read_context, folder)
    place = {"run": folder.name, "runs": str(folder.parent)}
    settings = context.model_dump(mode="json", exclude_none=True) | place
    about = {"run": folder.name}
    await client.threads.create(thread_id=thread, graph_id="search", metadata=about, if_exists="do_nothing")
    assistant = thread_id(folder.name)
    await client.assistants.create(
        "search", assistant_id=assistant, name=folder.name, context=settings, metadata=about, if_exists="do_nothing"
    )
    await client.assistants.update(assistant, graph_id="search", context=settings)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM.

    Returns:
        The server's exit status, 0 after Ctrl-C; 2 after a mistake in the flags, or where the server is not installed.
    """
    parser = Parser(prog="python -m graphs.studio", description="A local LangGraph server.", allow_abbrev=False)
    parser.add_argument("--port", type=int, default=2024, help="port on this machine (default: %(default)s)")
    parser.add_argument(
        "--runs",
        type=Path,
        metavar="DIR",
        default=Path(os.environ.get(RUNS_VARIABLE, "runs")),
        help="folder the run folders lie in (default: %(default)s)",
    )

    def work() -> int:
        options = parser.parse_args(arguments)
        if not 1 <= options.port <= _MAX_PORT:
            raise SettingsError(f"--port: expected a number from 1 to {_MAX_PORT}, found {options.port}")
        with socket.socket() as probe:
            if probe.connect_ex((HOST, options.port)) == 0:
                raise SettingsError(f"--port: expected a free port, found a server at {HOST}:{options.port}")
        if importlib.util.find_spec("langgraph_cli") is None:
            raise SettingsError("the server is not installed: pip install 'langgraph-cli[inmem]', or use `make studio`")
        return asyncio.run(_serve(options.port, options.runs))

    return report_errors(work)


if __name__ == "__main__":
    sys.exit(main())
