"""How a server is started: plain ``langgraph dev``, which reloads; and with a runs folder and tracing of one's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from langgraph_sdk import get_sync_client

from graphs.cli.search_command import main
from tests.e2e import servers

QUICK = {"archs": 4, "epochs": 1, "search": {"finalists": 1, "confirm_seeds": 1}}
"""Settings that leave all else at its default, where files lie among it."""


def test_plain_langgraph_dev_runs_a_search_and_never_reloads_for_what_it_writes(tmp_path):
    with servers.langgraph_dev(tmp_path) as server, get_sync_client(url=server.url, api_key=None) as client:
        thread = client.threads.create()["thread_id"]
        state = client.runs.wait(thread, "search", input={}, context=QUICK)
        assert (state["outcome"], state["num_trained"]) == ("finished", 4), state
        assert not list(tmp_path.rglob("*.py"))
        assert "Reloading" not in server.log
        assert main(["best", "--run", thread, "--runs", str(server.runs), "--out", str(tmp_path / "best")]) == 0
        deadline = time.monotonic() + 60
        while "Reloading" not in server.log:  # it would have: the result folder is below the server's
            assert time.monotonic() < deadline, server.log
    assert (tmp_path / "best" / "best.py").is_file()


class Collector(BaseHTTPRequestHandler):
    """Takes OpenTelemetry's traces."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.paths.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[ThreadingHTTPServer]:
    """A collector of traces, with the paths it was asked for."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        server.paths = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_runs_folder_and_tracing_that_a_user_has_set_up_are_used(tmp_path, collector):
    tracing = {
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_TRACING_MODE": "otel",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
    }
    started = servers.studio(tmp_path, "--runs", "elsewhere", **tracing)
    with started as server, get_sync_client(url=server.url, api_key=None) as client:
        (assistant,) = client.assistants.search(graph_id="search")
        schema = client.assistants.get_schemas(assistant["assistant_id"])["context_schema"]
        assert schema["properties"]["runs"]["default"] == "elsewhere"
        thread = client.threads.create()["thread_id"]
        done = client.runs.wait(thread, "candidate", input={"idea": "Use GELU."}, context={"epochs": 1})
        assert done["recorded"]
    assert (tmp_path / "elsewhere" / thread / "history.sqlite").is_file()
    assert not server.runs.exists()
    assert "/v1/traces" in collector.paths
