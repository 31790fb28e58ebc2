"""The command line of the local server: mistakes are one line, before anything is started."""

import socket

import pytest

from graphs.studio import main, server_environment


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "99999"], "--port: expected a number from 1 to 65535, found 99999"),
        (["--port", "x"], "argument --port: invalid int value: 'x'"),
        (["--prot", "1"], "unknown flag --prot; did you mean --port?"),
    ],
)
def test_a_mistake_in_the_flags_is_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_a_port_that_is_taken_is_named(capsys):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert main(["--port", str(port)]) == 2
    assert capsys.readouterr().err == f"error: --port: expected a free port, found a server at 127.0.0.1:{port}\n"


def test_nothing_is_traced_unless_a_user_has_set_it_up():
    assert server_environment({"LANGSMITH_API_KEY": "key"})["LANGSMITH_TRACING"] == "false"
    for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2", "LANGSMITH_OTEL_ENABLED", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        environment = server_environment({name: "true"})
        assert environment[name] == "true"
        assert environment.get("LANGSMITH_TRACING", "true") == "true"
