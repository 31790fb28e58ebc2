"""index: builds what searches by meaning ask, also by an endpoint, which the chat then uses."""

from __future__ import annotations

import json

import pytest

from graphs.cli.chat_command import main as chat
from graphs.cli.search_command import main
from tests.openai_server import Reply, ScriptedServer


@pytest.fixture
def ideas(tmp_path):
    """A file of three ideas of different lengths."""
    path = tmp_path / "ideas.jsonl"
    tag = {"target": "performance", "granularity": "operation", "main": "activation", "sub": "gelu"}
    path.write_text("".join(json.dumps({"text": "gate " * number, **tag}) + "\n" for number in (2, 9, 40)))
    return path


def test_the_index_is_built_once_and_again_on_request(runs, ideas, capsys):
    given = ["index", "--runs", str(runs), "--ideas", str(ideas), "--json"]
    told = []
    for flags in ([], [], ["--rebuild"]):
        assert main([*given, *flags]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert [(one["was_whole"], one["is_built"]) for one in told] == [(False, True), (True, False), (True, True)]
    assert {one["num_ideas"] for one in told} == {3}
    assert main(given[:-1]) == 0
    assert capsys.readouterr().out.endswith(": up to date (--rebuild builds it again)\n")


def test_ideas_are_embedded_by_an_endpoint_once_and_searched_by_it(runs, ideas, capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with ScriptedServer(lambda request: Reply(""), embed=lambda text: [float(len(text)), 30.0]) as server:
        flags = ["--runs", str(runs), "--ideas", str(ideas), "--embedding.model", "vectors"]
        flags += ["--embedding.base-url", server.url, "--json"]
        assert main(["index", *flags]) == 0
        assert json.loads(capsys.readouterr().out)["embedder"] == "vectors"
        for _ in range(2):
            assert chat(["the frobnication of quuxes " * 20, *flags]) == 0
            assert "gate gate" in json.loads(capsys.readouterr().out)["answer"]
        assert [len(request["input"]) for request in server.embedded] == [3, 1, 1]


def test_an_endpoint_that_refuses_is_one_line_and_leaves_no_index(runs, ideas, capsys):
    fault = Reply.error(401, "no")
    with ScriptedServer(lambda request: Reply(""), embed=lambda text: [1.0], embedding_faults=[fault]) as server:
        flags = ["--runs", str(runs), "--ideas", str(ideas), "--embedding.model", "vectors"]
        assert main(["index", *flags, "--embedding.base-url", server.url]) == 1
        assert capsys.readouterr().err.startswith(f"stopped: embedding endpoint {server.url} (model vectors) refuses")
        assert main(["index", *flags, "--embedding.base-url", server.url]) == 0
