"""``python -m graphs.studio``: a local LangGraph server over the runs, for LangGraph Studio and other clients.

It needs no key, account or internet. Each run in the runs folder appears as a thread, with an assistant of the same
name that holds its settings. The server has no password, and anyone who can reach its port can run code; it therefore
listens on this machine only.

``langgraph.json`` names the factories of this module. The server calls one for every access to a graph. It drops
settings that the graph does not know, so the factories check them first.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import importlib.util
import os
import re
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph_sdk.runtime import ServerRuntime
from pydantic import BaseModel, Field, ValidationError

from fairnad.errors import SettingsError, UserError
from fairnad.settings.knowledge_settings import KnowledgeContext
from fairnad.settings.search_settings import RunContext
from graphs.cli.arguments import Parser
from graphs.cli.exit_status import report_errors
from graphs.cli.settings_parser import describe_error
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
"""Prefixes of the variables that configure tracing; an API key alone does not enable it."""
_LANGGRAPH_NAMES = ("thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map")
"""Keys that LangGraph itself adds to the settings of a client."""
_NUM_JOBS = "4"
_MAX_PORT = 2**16 - 1


class RunSettings(RunContext):
    """The settings of a run on a server. Its folder is in ``FAIRNAD_RUNS``, unless ``runs`` is set."""

    runs: str = Field(
        os.environ.get(RUNS_VARIABLE, RunContext.model_fields["runs"].default),
        description=RunContext.model_fields["runs"].description,
    )


def search(runtime: ServerRuntime[Any]) -> Any:
    """The graph of the search."""
    return _serve_graph("graphs.search.graph", "search", RunSettings, runtime)


def candidate(runtime: ServerRuntime[Any]) -> Any:
    """The candidate graph for a single idea."""
    return _serve_graph("graphs.candidate.single_idea", "candidate", RunSettings, runtime)


def structure(runtime: ServerRuntime[Any]) -> Any:
    """The graph that structures reference models."""
    return _serve_graph("graphs.knowledge.structure", "structure", KnowledgeContext, runtime)


def knowledge(runtime: ServerRuntime[Any]) -> Any:
    """The graph that builds the idea base."""
    return _serve_graph("graphs.knowledge.graph", "knowledge", KnowledgeContext, runtime)


def chat(runtime: ServerRuntime[Any]) -> Any:
    """The graph that answers questions about ideas and runs."""
    return _serve_graph("graphs.chat.graph", "chat", RunSettings, runtime)


def _serve_graph(module: str, name: str, settings: type[BaseModel], runtime: ServerRuntime[Any]) -> Any:
    if runtime.execution_runtime is not None:
        check_settings(runtime.execution_runtime.context or {}, settings)
    return _compile(module, name, settings)


@functools.cache
def _compile(module: str, name: str, settings: type[BaseModel]) -> Any:
    """The compiled graph, without a checkpointer: the server adds its own."""
    return importlib.import_module(module).build(settings).compile(name=name)


def check_settings(given: dict[str, Any], settings: type[BaseModel]) -> None:
    """Refuse settings that a graph does not know or cannot use.

    Raises:
        SettingsError: a setting is unknown (with the nearest name) or malformed.
    """
    try:
        settings.model_validate({name: value for name, value in given.items() if name not in _LANGGRAPH_NAMES})
    except ValidationError as error:
        raise SettingsError(describe_error(error, settings, given, as_flag=False)) from error


def server_environment(given: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server: no usage statistics, and no tracing unless a user has set it up."""
    traced = any(_TRACING.match(name) for name in given)
    return {**ANALYTICS, **({} if traced else _NO_TRACING), **given}


async def _serve(port: int, runs: Path) -> int:
    """Start the server, register the runs, wait until it ends, and return its exit status."""
    command = [sys.executable, "-m", "langgraph_cli", "dev", "--config", str(CONFIGURATION), "--host", HOST]
    command += ["--port", str(port), "--no-browser", "--no-reload", "--n-jobs-per-worker", _NUM_JOBS]
    paths = [str(CONFIGURATION.parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        **server_environment(os.environ),
        RUNS_VARIABLE: str(runs),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    # A separate process group: Ctrl-C reaches only this process, which ends the server and waits.
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
    """Wait until the server accepts connections; ``False`` if it ended before."""
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
    """Create a thread and an assistant for every started run, and return the names of the runs.

    A run that cannot be read is skipped, with a message on stderr.
    """
    from langgraph_sdk import get_client

    names = []
    async with get_client(url=url, api_key=None) as client:
        for folder in run_folders(runs):
            try:
                if await _register(client, folder):
                    names.append(folder.name)
            except UserError as error:
                print(f"skipped: {error}", file=sys.stderr)
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
        The server's exit status, 0 after Ctrl-C; 2: a flag is wrong, or the server is not installed.
    """
    parser = Parser(prog="python -m graphs.studio", description="A local LangGraph server.")
    parser.add_argument("--port", type=int, default=2024, help="port on this machine (default: %(default)s)")
    parser.add_argument(
        "--runs",
        type=Path,
        metavar="DIR",
        default=Path(os.environ.get(RUNS_VARIABLE, "runs")),
        help="folder with all run folders (default: %(default)s)",
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
